-- Puts a member in. KEYS: members, ids, fenced leases, ids of the lease. ARGV:
-- id, token of the lease, member. Answers {'1'} if it was not in before, {'0'}
-- if it was, {'fenced'} if the lease was dropped from here: a node that slept
-- must not put anything in that nobody would ever take out.
if redis.call('ZSCORE', KEYS[3], ARGV[2]) then return {'fenced'} end
local new = redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('SADD', KEYS[4], ARGV[1])
return {tostring(new)}
