-- Drops some members of a lease from a channel, and fences it off there. KEYS:
-- members, ids, fenced leases, ids of the lease. ARGV: token of the lease, how
-- many at most. Answers the members dropped; called again until there are none.
local at = now()
redis.call('ZADD', KEYS[3], whole(at), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', whole(at - 3600000))
redis.call('PEXPIRE', KEYS[3], 3600000)
local list = {}
while #list < tonumber(ARGV[2]) do
  local id = redis.call('SPOP', KEYS[4])
  if not id then break end
  local v = redis.call('HGET', KEYS[1], id)
  if v and string.match(v, '^%S+') == ARGV[1] then
    list[#list + 1] = v
    redis.call('HDEL', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
  end
end
return list
