-- What every script about nodes and members begins with.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function whole(n) return string.format('%.0f', n) end
