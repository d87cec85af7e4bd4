-- Answers the leases that have not run out. KEYS: nodes.
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. whole(now()), '+inf')
