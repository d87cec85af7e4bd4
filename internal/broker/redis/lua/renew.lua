-- Renews a lease. KEYS: nodes. ARGV: the lease ("node token"), for how many ms,
-- '1' if it must be there still. Answers {'1'}, or {'0'} if it is not.
if ARGV[3] == '1' and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {'0'} end
redis.call('ZADD', KEYS[1], whole(now() + ARGV[2]), ARGV[1])
return {'1'}
