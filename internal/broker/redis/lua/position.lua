-- Answers where a log stands: {epoch, offset, fingerprint}. Own argument: '1' to
-- make it if need be and let it live on; otherwise the answer may be {}.
local m = open(own(1) == '1')
if not m then return {} end
if own(1) == '1' then touch(m, true) end
return {m[1], m[2], m[3]}
