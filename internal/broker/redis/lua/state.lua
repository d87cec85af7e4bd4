-- Reads a page of a state. Own arguments: after which offset, how many and how
-- many bytes at most, the age of keys in ms.
-- Answers {} for a log that is not there, otherwise {epoch, offset of the head,
-- up to where deletions are forgotten, '1' if there is more, entries as kept}.
local m = open(false)
if not m then return {} end
expire(clock(), tonumber(own(4)))
local limit, room = tonumber(own(2)), tonumber(own(3))
local list, size, more = {}, 0, '0'
local from = '(' .. own(1)
while more == '0' do
  local keys = redis.call('ZRANGEBYSCORE', ORDER, from, '+inf', 'LIMIT', 0, 32)
  for _, key in ipairs(keys) do
    local v = redis.call('HGET', STATE, key)
    if v then
      size = size + #v + 128
      if #list == limit or size > room and #list > 0 then
        more = '1'
        break
      end
      list[#list + 1] = v
      from = '(' .. string.match(v, '^%d+')
    end
  end
  if #keys < 32 then break end
end
return {m[1], m[2], redis.call('HGET', META, 'x') or '0', more, list}
