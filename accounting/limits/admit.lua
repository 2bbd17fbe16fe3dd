-- One decision over all the counters of a request: all pass and all are charged, or none.
--
-- ARGV: clock (0: the server's), ticket, its lifetime, cost, least, number of budgets, number of rates,
--   per budget: counter, hard (1/0), limit, counter of the period before (or empty), amount, lifetime in seconds
--   per rate: counter, kind (slot or window), limit, how much
-- Answer: passed (1/0; -1: the counters do not hold what was spent), clock,
--   per budget: verdict (0 fits, 1 waits, 2 stops), spent, reserved, limit; per rate: used, microseconds to wait

local WINDOW, SLICE, SLOT_WAIT = 60000000, 10000, 1000000

local now = clock(ARGV[1])
if redis.call('EXISTS', prefix .. 'e') == 0 then
  return {-1, now}
end
expire(now)

local ticket, cost, least = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
free(ticket)  -- asked before, and the answer was lost
local budgets, rates = tonumber(ARGV[6]), tonumber(ARGV[7])
local answer, passed, at = {1, now}, true, 8

local function number(value)
  return tonumber(value or '0')
end

local function look_at_budget()
  local found = redis.call('HMGET', prefix .. ARGV[at], 's', 'r')
  local spent, reserved, limit = number(found[1]), number(found[2]), tonumber(ARGV[at + 2])
  if ARGV[at + 3] ~= '' then
    local before = redis.call('HMGET', prefix .. ARGV[at + 3], 's', 'r', 'c')
    local amount = tonumber(ARGV[at + 4])
    limit = limit + math.min(amount, math.max(0, amount + number(before[3]) - number(before[1]) - number(before[2])))
  end
  local verdict = 0
  if ARGV[at + 1] == '1' and spent + reserved + cost > limit then
    if spent >= limit or spent + least > limit then
      verdict = 2
    elseif reserved > 0 then
      verdict = 1
    end
  end
  answer[#answer + 1] = verdict
  answer[#answer + 1] = spent
  answer[#answer + 1] = reserved
  answer[#answer + 1] = limit
  passed = passed and verdict == 0
end

local function look_at_window(key, limit, need)
  local sums, moments = prefix .. 'w:' .. key, prefix .. 'z:' .. key
  for _, slice in ipairs(redis.call('ZRANGEBYSCORE', moments, '-inf', whole(now - WINDOW))) do
    local sum = redis.call('HGET', sums, slice)
    redis.call('HINCRBY', sums, 't', whole(-number(sum)))
    redis.call('HDEL', sums, slice)
    redis.call('ZREM', moments, slice)
  end
  local total = number(redis.call('HGET', sums, 't'))
  local free = limit - total
  if need <= free then
    return total, 0
  end
  local slices, first = nil, 0
  repeat  -- a few at a time: the first ones nearly always suffice
    slices = redis.call('ZRANGE', moments, first, first + 99, 'WITHSCORES')
    for index = 1, #slices, 2 do
      free = free + number(redis.call('HGET', sums, slices[index]))
      if need <= free then
        return total, math.max(1, tonumber(slices[index + 1]) + WINDOW - now)
      end
    end
    first = first + 100
  until #slices == 0
  return total, WINDOW
end

local function look_at_rate()
  local used, wait
  if ARGV[at + 1] == 'slot' then
    used = number(redis.call('GET', prefix .. 'l:' .. ARGV[at]))
    wait = used < tonumber(ARGV[at + 2]) and 0 or SLOT_WAIT
  else
    used, wait = look_at_window(ARGV[at], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
  end
  answer[#answer + 1] = used
  answer[#answer + 1] = wait
  passed = passed and wait == 0
end

for _ = 1, budgets do
  look_at_budget()
  at = at + 6
end
for _ = 1, rates do
  look_at_rate()
  at = at + 4
end
if not passed then
  answer[1] = 0
  return answer
end

local held, slots = {}, {}
at = 8
for index = 1, budgets do
  local key = prefix .. ARGV[at]
  redis.call('HINCRBY', key, 'r', ARGV[4])
  redis.call('HSETNX', key, 's', '0')
  if ARGV[at + 3] ~= '' then
    redis.call('HSET', key, 'c', whole(answer[2 + index * 4] - tonumber(ARGV[at + 2])))
  end
  if ARGV[at + 5] ~= '0' then
    redis.call('EXPIRE', key, ARGV[at + 5])
  end
  held[index] = ARGV[at]
  answer[1 + index * 4] = answer[1 + index * 4] + cost
  at = at + 6
end
local place = 2 + budgets * 4
for _ = 1, rates do
  local key, need = ARGV[at], tonumber(ARGV[at + 3])
  if ARGV[at + 1] == 'slot' then
    redis.call('INCR', prefix .. 'l:' .. key)
    slots[#slots + 1] = key
  else
    local slice = whole(math.floor(now / SLICE))
    redis.call('HINCRBY', prefix .. 'w:' .. key, slice, ARGV[at + 3])
    redis.call('HINCRBY', prefix .. 'w:' .. key, 't', ARGV[at + 3])
    redis.call('ZADD', prefix .. 'z:' .. key, 'GT', whole(now), slice)
    redis.call('PEXPIRE', prefix .. 'w:' .. key, 120000)
    redis.call('PEXPIRE', prefix .. 'z:' .. key, 120000)
  end
  answer[place + 1] = answer[place + 1] + need
  place = place + 2
  at = at + 4
end
if #held > 0 or #slots > 0 then
  redis.call('HSET', prefix .. 't', ticket, ARGV[4] .. '|' .. table.concat(held, ',') .. '|' .. table.concat(slots, ','))
  redis.call('ZADD', prefix .. 'T', whole(now + tonumber(ARGV[3])), ticket)
end
return answer
