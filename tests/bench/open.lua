-- For wrk: as post.lua, at a rate (requests/s, the second argument) whatever becomes of those before.
-- One schedule for all connections: each request takes the next place in it. Where none is free in time, it slips.
dofile("post.lua")

local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } moment; int clock_gettime(int, moment *);")
local clock = ffi.new("moment")
local interval, place = 0, 0
local post = init

local function now()
  ffi.C.clock_gettime(1, clock)
  return tonumber(clock.s) + tonumber(clock.ns) / 1e9
end

function init(arguments)
  post(arguments)
  interval = 1 / tonumber(arguments[2])
end

function delay()
  local moment = now()
  place = math.max(moment, place + interval)
  return math.floor((place - moment) * 1000)
end
