-- For wrk: posts the files of a folder, numbered from 1, one after the other, and prints what came of it as JSON.
local bodies = {}
local at = 0

function init(arguments)
  local folder, count, kind = arguments[1], tonumber(arguments[2]), arguments[3]
  for index = 1, count do
    local file = assert(io.open(folder .. "/" .. index, "rb"))
    bodies[index] = file:read("*a")
    file:close()
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = kind
end

function request()
  at = at % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[at])
end

function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end
