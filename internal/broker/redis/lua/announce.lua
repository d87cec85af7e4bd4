-- Passes on a message that is not kept. KEYS[1] names the channel's slot;
-- KEYS[2] is where the dedupe key is remembered, if there is one. ARGV: the
-- topic, PUBLISH or SPUBLISH, the time in ms (empty: the server's), the message,
-- '1' if it is ephemeral, the dedupe window in ms, and with a dedupe key what the
-- message says in short.
-- Answers {'ok' | 'again' | 'reused', time}.
local now
if ARGV[3] ~= '' then
  now = tonumber(ARGV[3])
else
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local time = string.format('%.0f', now)
if KEYS[2] then
  local was = redis.call('GET', KEYS[2])
  local t = was and string.match(was, '^(%d+) ')
  if t and now - tonumber(t) < tonumber(ARGV[6]) then
    local said = string.match(was, ':(%x+)$')
    if said and said ~= ARGV[7] then return {'reused', t} end
    return {'again', t}
  end
  redis.call('SET', KEYS[2], time .. ' - 0 0:' .. ARGV[7], 'PX', string.format('%.0f', ARGV[6] + 10000))
end
redis.call(ARGV[2], ARGV[1], 'R1e ' .. time .. ' ' .. ARGV[5] .. '\n' .. ARGV[4])
return {'ok', time}
