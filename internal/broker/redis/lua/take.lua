-- Takes a member out, if it is the lease's. KEYS: members, ids, ids of the
-- lease. ARGV: id, token of the lease. Answers {'1'} if it was in, or {'0'}.
redis.call('SREM', KEYS[3], ARGV[1])
local was = redis.call('HGET', KEYS[1], ARGV[1])
if not was or string.match(was, '^%S+') ~= ARGV[2] then return {'0'} end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return {'1'}
