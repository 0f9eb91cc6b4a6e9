-- For wrk: track calls of about 600 bytes, Zipf users, a message id of its own for every event.
-- BENCH_BATCH: events a request (1: a single call). BENCH_TRAITS=1: each names an e-mail address and a phone number, too.
-- BENCH_SEED keeps the message ids of two runs apart.
-- At the end one line of JSON: requests, errors, seconds and latencies in microseconds.

local batch = tonumber(os.getenv("BENCH_BATCH") or "1")
local with_traits = os.getenv("BENCH_TRAITS") == "1"
local run = os.getenv("BENCH_SEED") or "0"
local users, templates = 20000, 8192

local heads, tails, bodies = {}, {}, {}
local sent, thread_id = 0, 0

function setup(thread)
  thread:set("thread_id", thread_id)
  thread_id = thread_id + 1
end

local function make_zipf()
  local cumulated, total = {}, 0
  for rank = 1, users do
    total = total + 1 / rank
    cumulated[rank] = total
  end
  return function()
    local wanted, low, high = math.random() * total, 1, users
    while low < high do
      local middle = math.floor((low + high) / 2)
      if cumulated[middle] < wanted then low = middle + 1 else high = middle end
    end
    return low
  end
end

function init()
  math.randomseed(1)
  local choose = make_zipf()
  for n = 1, templates do
    local user = choose()
    local traits = ""
    if with_traits then
      traits = string.format(',"traits":{"email":"Ada%d@Example.com","phone":"+4915112%06d"}', user, user)
    end
    heads[n] = '{"type":"track","event":"Product Viewed","userId":"user-' .. user ..
      '","anonymousId":"2f1c7c1e-9d1b-4b7e-8f8b-0c2f9d' .. string.format("%06d", user) .. '","messageId":"wrk-'
    tails[n] = '","timestamp":"' .. os.date("!%Y-%m-%dT%H:%M:%S") .. '.123Z","properties":{"product_id":"p-' .. (n % 500) ..
      '","sku":"sku-123","category":"shoes","name":"Trail runner","brand":"Acme","price":89.99,"quantity":1,"currency":"EUR",' ..
      '"url":"https://shop.example/p/123"},"context":{"library":{"name":"analytics-node","version":"3.1.0"},' ..
      '"userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",' ..
      '"locale":"de-DE"' .. traits .. '}}'
  end
  wrk.method = "POST"
  wrk.headers["Authorization"] = "Basic ZGV2LXdyaXRlLWtleTo="
  wrk.headers["Content-Type"] = "application/json"
  sent = 0
end

local function add_event(parts, at)
  sent = sent + 1
  local n = sent % templates + 1
  parts[at], parts[at + 1], parts[at + 2], parts[at + 3] = heads[n], run .. "-" .. thread_id .. "-", sent, tails[n]
end

function request()
  if batch == 1 then
    local parts = {}
    add_event(parts, 1)
    return wrk.format(nil, "/v1/track", nil, table.concat(parts))
  end
  for n = 0, batch - 1 do
    add_event(bodies, n * 5 + 2)
    bodies[n * 5 + 1] = n == 0 and '{"batch":[' or ","
  end
  bodies[batch * 5 + 1] = "]}"
  return wrk.format(nil, "/v1/batch", nil, table.concat(bodies))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"errors":%d,"seconds":%.3f,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
