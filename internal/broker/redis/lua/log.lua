-- What every script about a channel's log begins with.
--
-- KEYS: meta, log; where there is a state also state, order, graves; and what is
-- the script's own. A channel without a state does not name the keys of one: while
-- a slot of a Cluster moves, a script runs only if all that it names is there.
-- ARGV: an epoch in case a new one is needed, the topic that followers listen
-- to, PUBLISH or SPUBLISH, the time in ms (empty: the server's), how long the
-- keys live without being used in ms (0: for ever), how many points the caller
-- has seen, and for each of these its epoch, offset, fingerprint and whether it
-- must be proven. What follows is the script's own.
local META, LOG = KEYS[1], KEYS[2]
local OWN, STATE, ORDER, GRAVES = 2
if #KEYS > 4 then OWN, STATE, ORDER, GRAVES = 5, KEYS[3], KEYS[4], KEYS[5] end
local SEEN = tonumber(ARGV[6])
local DAY = 86400000

local function own(i) return ARGV[6 + SEEN * 4 + i] end

local function whole(n) return string.format('%.0f', n) end

local function clock()
  if ARGV[4] ~= '' then return tonumber(ARGV[4]) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- An entry of the log is {id, {'f', fingerprint, 't', time, 'm', message}}.

-- The fingerprint that the log has at an offset; nil where it no longer holds it.
local function mark(m, at)
  if at == tonumber(m[2]) then return m[3] end
  if at == tonumber(m[4]) then return m[5] end
  local r = redis.call('XRANGE', LOG, whole(at), whole(at))
  if r[1] then return r[1][2][2] end
  return nil
end

-- Whether somebody who has seen that fingerprint at that offset, in this epoch,
-- has seen another history than this one.
local function contradicts(m, at, print, strict)
  if at > tonumber(m[2]) then return true end
  local p = mark(m, at)
  if p then return p ~= print end
  return strict == '1'
end

-- Has the log go on in a new epoch.
local function renew(m)
  m[1], m[4], m[5] = ARGV[1], m[2], m[3]
  redis.call('HSET', META, 'e', m[1], 'b', m[4], 'g', m[5])
  redis.call(ARGV[3], ARGV[2], 'R1n ' .. m[1])
end

-- meta is the epoch, the head's offset and fingerprint, and those of the place
-- where the epoch began. What the caller has seen is held against it: where that
-- is not the same history, the log goes on in a new epoch.
local function open(create)
  local m = redis.call('HMGET', META, 'e', 'o', 'f', 'b', 'g')
  if not m[1] then
    if not create then return nil end
    redis.call('DEL', unpack(KEYS, 2, OWN))
    m = {ARGV[1], '0', '0', '0', '0'}
    redis.call('HSET', META, 'e', m[1], 'o', '0', 'f', '0', 'b', '0', 'g', '0')
    return m
  end
  for i = 7, 6 + SEEN * 4, 4 do
    if ARGV[i] == m[1] and contradicts(m, tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3]) then
      renew(m)
      break
    end
  end
  return m
end

-- Lets the keys live on. Of a channel that nobody ever published to, nothing is
-- left a day after it was last looked at. Who only looks may know an older
-- declaration of the channel, and takes no time away.
local function touch(m, looks)
  local ttl = tonumber(ARGV[5])
  if tonumber(m[2]) == 0 and (ttl == 0 or ttl > DAY) then ttl = DAY end
  local left = redis.call('PTTL', META)
  if ttl == 0 and left == -1 then return end
  if looks and tonumber(m[2]) > 0 and (left == -1 or ttl > 0 and left > ttl) then return end
  for i = 1, OWN do
    local key = KEYS[i]
    if ttl > 0 then redis.call('PEXPIRE', key, whole(ttl)) else redis.call('PERSIST', key) end
  end
end
