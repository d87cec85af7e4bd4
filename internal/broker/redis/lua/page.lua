-- Reads a page of a log. Own arguments: after which offset, how many of the
-- newest (0: by the offset), how many and how many bytes at most, the limits of
-- the log (messages, bytes, age in ms), '1' if the caller follows the log and
-- the first point it has seen is where it stands, and before which offset the
-- newest are asked for (0: the oldest are).
-- Answers {} for a log that is not there, otherwise {epoch, offset and
-- fingerprint of the head, offset before the oldest, '1' if there is more, the
-- offset and fingerprint to go on from, entries: offset, fingerprint, time,
-- message, one after the other}.
local m = open(false)
if not m then return {} end
-- A follower knows the channel as it was declared when it began, and drops nothing.
if own(8) ~= '1' then trim(clock(), tonumber(own(5)), tonumber(own(6)), tonumber(own(7)), 0) end
local head = tonumber(m[2])
local oldest = head
local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)
if first[1] then oldest = offset(first[1]) - 1 end

local after, base, print = tonumber(own(1)), own(1), ''
if tonumber(own(2)) > 0 then after = math.max(oldest, head - tonumber(own(2))) end
if own(8) == '1' and ARGV[7] ~= m[1] then
  -- The epoch is another than the caller's. Where its history is part of this
  -- one it goes on from where it stands, otherwise from where the epoch began.
  base, print = ARGV[8], ARGV[9]
  if tonumber(base) > head or mark(m, tonumber(base)) ~= print then base, print = m[4], m[5] end
  after = tonumber(base)
end

local limit, room = tonumber(own(3)), tonumber(own(4))
local before = tonumber(own(9))
local found, size, more = {}, 0, '0'
local from, to = after + 1, head
if before > 0 then to = math.min(head, before - 1) end
while more == '0' and from <= to do
  local r
  if before > 0 then
    r = redis.call('XREVRANGE', LOG, whole(to), whole(from), 'COUNT', 32)
  else
    r = redis.call('XRANGE', LOG, whole(from), whole(to), 'COUNT', 32)
  end
  for _, e in ipairs(r) do
    size = size + #e[2][6] + 128
    if #found == limit or size > room and #found > 0 then
      more = '1'
      break
    end
    found[#found + 1] = e
    if before > 0 then to = offset(e) - 1 else from = offset(e) + 1 end
  end
  if #r < 32 then break end
end
local list = {}
for i = 1, #found do
  local e = found[i]
  if before > 0 then e = found[#found + 1 - i] end
  local l = #list
  list[l + 1], list[l + 2], list[l + 3], list[l + 4] = whole(offset(e)), e[2][2], e[2][4], e[2][6]
end
return {m[1], m[2], m[3], whole(oldest), more, base, print, list}
