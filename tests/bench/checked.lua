-- For wrk: as open.lua, and compares the numbers of each prediction with those in a file (the third argument), in order.
dofile("open.lua")

local TOLERANCE = 1e-5
local expected, threads = {}, {}
local start, report = init, done
statuses, compared, wrong = {}, 0, 0 -- globals, so that `done` can ask for them
example = ""

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  start(arguments)
  for number in io.lines(arguments[3]) do
    table.insert(expected, tonumber(number))
  end
end

local function agrees(body)
  local _, at = body:find('"predictions":', 1, true)
  local count = 0
  for text in body:sub(at):gmatch("-?%d[%d.eE+-]*") do
    count = count + 1
    if not expected[count] or math.abs(tonumber(text) - expected[count]) > TOLERANCE then
      return false
    end
  end
  return count == #expected
end

function response(status, headers, body)
  statuses[tostring(status)] = (statuses[tostring(status)] or 0) + 1
  if status ~= 200 then
    return
  end
  compared = compared + 1
  if not agrees(body) then
    wrong = wrong + 1
    example = body
  end
end

function done(summary, latency)
  report(summary, latency)
  for _, thread in ipairs(threads) do
    local parts = {}
    for status, count in pairs(thread:get("statuses")) do
      table.insert(parts, string.format('"%s": %d', status, count))
    end
    io.stderr:write(string.format(
      '{"statuses": {%s}, "compared": %d, "wrong": %d, "example": "%s"}\n',
      table.concat(parts, ", "), thread:get("compared"), thread:get("wrong"), (thread:get("example"):sub(1, 300):gsub('["\\%c]', "'"))
    ))
  end
end
