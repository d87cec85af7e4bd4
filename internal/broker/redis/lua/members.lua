-- Reads a page of members. KEYS: members, ids. ARGV: after which id, how many.
-- Answers {how many there are in all, '1' if there are more, members}.
local total = redis.call('ZCARD', KEYS[2])
local limit = tonumber(ARGV[2])
if limit == 0 then return {tostring(total), '0', {}} end
local from = '-'
if ARGV[1] ~= '' then from = '(' .. ARGV[1] end
local ids = redis.call('ZRANGEBYLEX', KEYS[2], from, '+', 'LIMIT', 0, limit + 1)
local list, more = {}, '0'
for i, id in ipairs(ids) do
  if i > limit then
    more = '1'
    break
  end
  list[#list + 1] = redis.call('HGET', KEYS[1], id) or ''
end
return {tostring(total), more, list}
