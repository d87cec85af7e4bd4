-- Accepts a message of a channel that keeps a log. Own arguments: the message, the
-- limits of the log (messages, bytes, age in ms), the dedupe window in ms, and
-- what the message says in short if the last of KEYS is where its dedupe key is
-- remembered (empty: it has none). That is remembered behind a colon, where a
-- version that knows nothing of it does not look. Of a channel with a state also
-- the message's key, '1' if it deletes the key, the age of state keys in ms, and
-- how many keys and how many deletions there may be.
-- Answers {'ok' | 'again' | 'reused' | 'keys', epoch, offset, time, fingerprint}.
local message, key = own(1), own(7) or ''
local now = clock()
local m = open(true)
local says = own(6)
local dedupe = says ~= '' and KEYS[#KEYS]
if dedupe then
  local was = redis.call('GET', dedupe)
  if was then
    local t, e, o, f = string.match(was, '^(%d+) (%S+) (%d+) (%S+)$')
    if t and now - tonumber(t) < tonumber(own(5)) then
      local said = string.match(f, ':(%x+)$')
      if said and said ~= says then return {'reused', e, o, t, f} end
      return {'again', e, o, t, f}
    end
  end
end
if key ~= '' and redis.call('ZCARD', ORDER) >= tonumber(own(10)) and not redis.call('ZSCORE', ORDER, key) then
  return {'keys', m[1], '0', whole(now), '0'}
end
local at = tonumber(m[2]) + 1
local id, time = whole(at), whole(now)
-- Each fingerprint is chained to the one before it, so that two histories that
-- parted anywhere never have the same one again. The epoch that is at hand in
-- case is as good a random text as any.
local before = m[3]
local print = string.sub(redis.sha1hex(before .. ARGV[1]), 1, 16)
local messages, bytes, age = tonumber(own(2)), tonumber(own(3)), tonumber(own(4))
-- The first write, which is the one that a server without memory refuses.
if messages > 0 and bytes == 0 then
  -- Of long logs Redis drops some at a time, which is cheaper; who reads them sees
  -- no more than there should be.
  redis.call('XADD', LOG, 'MAXLEN', messages < 1000 and '=' or '~', own(2), id .. '-0', 'f', print, 't', time, 'm', message)
else
  redis.call('XADD', LOG, id .. '-0', 'f', print, 't', time, 'm', message)
end
redis.call('HSET', META, 'o', id, 'f', print)
m[2], m[3] = id, print
if bytes > 0 or age > 0 then trim(now, messages, bytes, age, #message + 128) end
if key ~= '' then
  redis.call('HSET', STATE, key, id .. ' ' .. time .. ' ' .. message)
  redis.call('ZADD', ORDER, id, key)
  if own(8) == '1' then redis.call('ZADD', GRAVES, id, key) else redis.call('ZREM', GRAVES, key) end
  while redis.call('ZCARD', GRAVES) > tonumber(own(11)) do
    local grave = redis.call('ZPOPMIN', GRAVES)
    redis.call('HDEL', STATE, grave[1])
    redis.call('ZREM', ORDER, grave[1])
    redis.call('HSET', META, 'x', grave[2])
  end
end
if own(9) then expire(now, tonumber(own(9))) end
touch(m)
if dedupe then
  redis.call('SET', dedupe, time .. ' ' .. m[1] .. ' ' .. id .. ' ' .. print .. ':' .. says, 'PX', whole(own(5) + 10000))
end
redis.call(ARGV[3], ARGV[2], 'R1k ' .. m[1] .. ' ' .. id .. ' ' .. time .. ' ' .. before .. ' ' .. print .. '\n' .. message)
return {'ok', m[1], id, time, print}
