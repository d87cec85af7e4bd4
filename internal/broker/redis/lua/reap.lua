-- Gives one node the task to drop what a dead one has put in. KEYS: nodes,
-- leases being dropped. ARGV: how long the task may take in ms before another
-- node is given it. Answers {lease} or {}.
local at = now()
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(at), 'LIMIT', 0, 1)[1]
if dead then
  redis.call('ZREM', KEYS[1], dead)
else
  dead = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(at), 'LIMIT', 0, 1)[1]
end
if not dead then return {} end
redis.call('ZADD', KEYS[2], whole(at + ARGV[1]), dead)
return {dead}
