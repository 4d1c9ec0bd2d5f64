-- For wrk: posts the file named after `--`, with the headers after it (`Name: value`), and prints what came of it as JSON.
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = "application/json"
  file:close()
  for index = 2, #arguments do
    local name, value = arguments[index]:match("^([%w-]+): (.*)$")
    if name then -- open.lua has other arguments
      wrk.headers[name] = value
    end
  end
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
