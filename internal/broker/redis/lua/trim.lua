-- For scripts that drop what a log keeps no longer.
local function offset(entry) return tonumber(string.match(entry[1], '^%d+')) end

-- Drops the oldest entries past the limits, 0 being none, and not more than a
-- thousand or so at a time, so that nobody waits long.
local function trim(now, messages, bytes, age, added)
  local len = redis.call('XLEN', LOG)
  local held = 0
  if bytes > 0 then
    -- A log that had no such limit before is taken for one of equal messages.
    local n = redis.call('HGET', META, 'n')
    if n then held = tonumber(n) + added elseif added > 0 then held = len * added else bytes = 0 end
  end
  if bytes == 0 and messages > 0 and len > messages and len - messages <= 256 then
    redis.call('XTRIM', LOG, 'MAXLEN', '=', whole(messages))
    len = messages
  end
  for _ = 1, 64 do
    local cut
    local done = true
    for _, e in ipairs(redis.call('XRANGE', LOG, '-', '+', 'COUNT', 16)) do
      if messages > 0 and len > messages or bytes > 0 and held > bytes and len > 1
        or age > 0 and now - tonumber(e[2][4]) > age then
        cut, len, held, done = offset(e), len - 1, held - #e[2][6] - 128, false
      else
        done = true
        break
      end
    end
    if cut then redis.call('XTRIM', LOG, 'MINID', '=', whole(cut + 1)) end
    if done then break end
  end
  if bytes > 0 then
    if len == 0 then held = 0 end
    redis.call('HSET', META, 'n', whole(held))
  end
end
