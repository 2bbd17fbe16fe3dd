-- What the scripts share: the clock, and the end of a ticket. Put before each of them.
--
-- Keys, all under one prefix: b:… budgets (hash: s spent, r reserved, c carried over), w:… windows (hash: slice → sum,
-- t total) with z:… their slices by last moment, l:… slots in use, t what tickets hold, T when they expire, e the mark
-- that the counters hold what was spent. Whole numbers never pass through Lua's number formatting.

local prefix = KEYS[1] .. ':'

local function whole(number)
  return string.format('%.0f', number + 0)  -- never -0, which is no number to Redis
end

local function clock(given)
  if given ~= '0' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Gives back what a ticket holds; whether there was one.
local function free(ticket)
  local held = redis.call('HGET', prefix .. 't', ticket)
  if not held then
    return false
  end
  redis.call('HDEL', prefix .. 't', ticket)
  redis.call('ZREM', prefix .. 'T', ticket)
  local cost, budgets, slots = string.match(held, '^(%d+)|([^|]*)|([^|]*)$')
  for key in string.gmatch(budgets, '[^,]+') do
    redis.call('HINCRBY', prefix .. key, 'r', cost == '0' and '0' or '-' .. cost)
  end
  for key in string.gmatch(slots, '[^,]+') do
    if redis.call('DECR', prefix .. 'l:' .. key) <= 0 then
      redis.call('DEL', prefix .. 'l:' .. key)
    end
  end
  return true
end

local function expire(now)
  for _, ticket in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'T', '-inf', whole(now), 'LIMIT', 0, 1000)) do
    free(ticket)
  end
end
