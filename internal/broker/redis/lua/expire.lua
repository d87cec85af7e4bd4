-- Drops the keys of a state that nobody wrote to for too long.
local function expire(now, age)
  if age == 0 then return end
  for _ = 1, 64 do
    local keys = redis.call('ZRANGE', ORDER, 0, 15)
    for _, key in ipairs(keys) do
      local v = redis.call('HGET', STATE, key)
      local t = v and tonumber(string.match(v, '^%d+ (%d+) '))
      if t and now - t <= age then return end
      redis.call('HDEL', STATE, key)
      redis.call('ZREM', ORDER, key)
      redis.call('ZREM', GRAVES, key)
    end
    if #keys == 0 then return end
  end
end
