-- Ends a ticket: gives back what it holds, charges what it came to, corrects what its windows counted.
--
-- ARGV: ticket, again (1: tried before; if the ticket is gone, that was done), moment of the admission, cost,
--   number of budgets, number of corrections, per budget: counter, lifetime; per correction: counter, difference

local SLICE = 10000

if not free(ARGV[1]) and ARGV[2] == '1' then
  return 0
end
local at = 7
for _ = 1, tonumber(ARGV[5]) do
  redis.call('HINCRBY', prefix .. ARGV[at], 's', ARGV[4])
  if ARGV[at + 1] ~= '0' then
    redis.call('EXPIRE', prefix .. ARGV[at], ARGV[at + 1])
  end
  at = at + 2
end
local slice = whole(math.floor(tonumber(ARGV[3]) / SLICE))
for _ = 1, tonumber(ARGV[6]) do
  local sums = prefix .. 'w:' .. ARGV[at]
  local sum = redis.call('HGET', sums, slice)
  if sum then
    local difference = math.max(tonumber(ARGV[at + 1]), -tonumber(sum))
    redis.call('HINCRBY', sums, slice, whole(difference))
    redis.call('HINCRBY', sums, 't', whole(difference))
  end
  at = at + 2
end
return 1
