-- Reads a page of a state. Own arguments: after which offset, how many and how
-- many bytes at most, the age of keys in ms.
-- Answers {} for a log that is not there, otherwise {epoch, offset of the head,
-- up to where deletions are forgotten, '1' if there is more, entries as kept}.
local m = open(false)
if not m then return {} end
expire(clock(), tonumber(own(4)))
if redis.call('HLEN', STATE) ~= redis.call('ZCARD', ORDER) then
  -- Redis has thrown one of the two away. What is left is no state: whoever
  -- follows is told to begin anew.
  redis.call('DEL', STATE, ORDER, GRAVES)
  renew(m)
end
local limit, room = tonumber(own(2)), tonumber(own(3))
local list, size, more = {}, 0, '0'
local from = '(' .. own(1)
while more == '0' do
  local keys = redis.call('ZRANGEBYSCORE', ORDER, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 32)
  for i = 1, #keys, 2 do
    local v = redis.call('HGET', STATE, keys[i])
    if v then
      size = size + #v + 128
      if #list == limit or size > room and #list > 0 then
        more = '1'
        break
      end
      list[#list + 1] = v
    end
    from = '(' .. keys[i + 1]
  end
  if #keys < 64 then break end
end
return {m[1], m[2], redis.call('HGET', META, 'x') or '0', more, list}
