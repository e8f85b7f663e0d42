-- Sends the requests of a file in turn, endlessly. `requests.py` writes the files, one per thread. Each request in a
-- file is preceded by its length in eight digits.
--
-- wrk … -- FILE: the file's name without the thread's number.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1] .. number, "rb"))
  requests, at, laps = file:read("*a"), 1, 0
  file:close()
end

function request()
  if at > #requests then at, laps = 1, laps + 1 end
  local length = tonumber(requests:sub(at, at + 7))
  at = at + 8 + length
  return requests:sub(at - length, at - 1)
end

function done(summary, latency)
  local laps, errors = 0, summary.errors
  for _, thread in ipairs(threads) do
    laps = math.max(laps, thread:get("laps"))
  end
  io.write(string.format('{"requests":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"laps":%d,"wrong":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, laps,
    errors.connect + errors.read + errors.write + errors.timeout + errors.status))
end
