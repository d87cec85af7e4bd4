-- Notes that a lease has members in some channels, so that they are found when
-- it ends. KEYS: nodes, the channels of the lease. ARGV: the lease, channels.
-- Answers {'1'}, or {'0'} if the lease is not there any more.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {'0'} end
for i = 2, #ARGV do redis.call('SADD', KEYS[2], ARGV[i]) end
return {'1'}
