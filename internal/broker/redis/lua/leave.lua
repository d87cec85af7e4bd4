-- Ends the lease of a node that goes. KEYS: nodes. ARGV: the lease, what it is
-- called from now on (of no node), for how many ms what it has put in stays.
-- Answers {'1'}, or {'0'} if it had run out before.
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return {'0'} end
redis.call('ZADD', KEYS[1], whole(now() + ARGV[3]), ARGV[2])
return {'1'}
