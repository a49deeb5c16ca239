--- What `temporal-lua worker run` does: runs the scripts, gives their workers the connection, starts
--- them and waits until they have ended.
local client = require "temporal.client"

local function is_worker(value)
  return type(value) == "table" and type(value.start) == "function" and type(value.task_queue) == "string"
end

--- A script returns a worker or a list of workers.
local function load_workers(script)
  arg[0] = script -- luacheck: ignore 122
  local chunk, message = loadfile(script)
  if not chunk then
    error(message, 0)
  end
  local value = chunk()
  local list = is_worker(value) and { value } or value
  if type(list) ~= "table" or #list == 0 then
    error(("%s returns no worker: end it with `return temporal.worker { ... }`"):format(script), 0)
  end
  for i, w in ipairs(list) do
    if not is_worker(w) then
      error(("%s: entry %d of what it returns is not a worker"):format(script, i), 0)
    end
  end
  return list
end

---@param scripts string[]
---@param connection temporal.ConnectOptions
return function(scripts, connection)
  local workers = {}
  for _, script in ipairs(scripts) do
    for _, w in ipairs(load_workers(script)) do
      workers[#workers + 1] = w
    end
  end
  local own = client.connect(connection)
  for _, w in ipairs(workers) do
    w.client = w.client or own
    w:prepare()
  end
  for _, w in ipairs(workers) do
    w:start()
    io.stdout:write(("worker on task queue '%s' is running; stop it with Ctrl-C\n"):format(w.task_queue))
  end
  io.stdout:flush()
  for _, w in ipairs(workers) do
    w:run()
  end
end
