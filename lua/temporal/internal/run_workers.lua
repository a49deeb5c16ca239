--- What `temporal-lua worker run` does: runs the scripts, gives their workers the connection, starts
--- them, serves requests (reload, rollback, builds) and waits until they have ended.
local client = require "temporal.client"
local converter = require "temporal.converter"
local core = require "temporal.core"
local runtime = require "temporal.runtime"
local scripts = require "temporal.internal.scripts"
local settings = require "temporal.internal.worker_settings"
local status = require "temporal.internal.worker_status"
local versions = require "temporal.internal.versions"

local requests = {}

--- Workers of the new scripts stand in the places of the old ones.
local function same_places(old, new)
  if #old ~= #new then
    return nil, ("the scripts return %d workers now, not %d: restart"):format(#new, #old)
  end
  for i, w in ipairs(old) do
    if w.task_queue ~= new[i].task_queue then
      return nil, ("worker %d is for task queue '%s' now, not '%s': restart"):format(
        i, new[i].task_queue, w.task_queue)
    end
  end
  return true
end

local function reload(state, replay)
  local new, message = scripts.load_again(state.scripts)
  local fits = new
  if new then
    fits, message = same_places(state.workers, new)
  end
  if not fits then
    return false, "refused: " .. message
  end
  local lines, good = {}, true
  for i, w in ipairs(state.workers) do
    local id, text = w:reload { worker = new[i], replay = replay }
    good = good and (id ~= nil or text:find "^nothing has changed" ~= nil)
    lines[i] = ("%s: %s"):format(w.task_queue, id and id .. " " .. text or text)
  end
  return good, table.concat(lines, "\n")
end

--- After reading the scripts, replaying the histories of the task queue.
function requests.reload(state)
  return reload(state, nil)
end

--- Without the replay, for a change that is meant not to fit.
requests["reload without replay"] = function(state)
  return reload(state, false)
end

function requests.rollback(state)
  local lines, good = {}, true
  for i, w in ipairs(state.workers) do
    local id, message = w:rollback()
    good = good and id ~= nil
    lines[i] = ("%s: %s"):format(w.task_queue, id and "back to " .. id or message)
  end
  return good, table.concat(lines, "\n")
end

function requests.builds(state)
  local lines = {}
  for _, w in ipairs(state.workers) do
    for _, b in ipairs(w:builds()) do
      lines[#lines + 1] = ("%s: %s%s, %d users, %d parked runs"):format(
        w.task_queue, b.id, b.current and " (current)" or b.previous and " (before)" or "", b.users, b.parked_runs)
    end
  end
  return true, table.concat(lines, "\n")
end

--- One request at a time: what comes while one is under way is told so.
local function serve_requests(state)
  local busy = false
  core.on_request(function(command)
    if busy then
      return false, "a reload is under way"
    end
    busy = true
    local ok, good, text = pcall(requests[command] or error, state)
    busy = false
    good, text = ok and good, tostring(ok and text or good)
    if command ~= "builds" then
      (good and core.log_info or core.log_warn)("worker." .. command:match "%a+", text)
    end
    return good, text
  end)
end

local ADVICE = 5 * 1000000000

--- The first version of a deployment is made current here only where the script asks for it; otherwise the log says
--- how.
local function route(worker)
  if not versions.deployment_of(worker) then
    return
  end
  local message
  if worker.gate.set_current then
    message = select(2, worker:set_current_version())
  else
    for _, build in ipairs(worker:builds()) do
      message = build.current and versions.advice(worker, build.id, ADVICE) or message
    end
  end
  if message then
    core.log_warn("worker.not_current", message)
  end
end

--- The runtime that the command line asks for, in place before the scripts make clients.
local function open_runtime(addresses)
  if not addresses.metrics and not addresses.health then
    return
  end
  local own = runtime.new {
    telemetry = addresses.metrics and { metrics = { bind_address = addresses.metrics } },
    health = addresses.health and { bind_address = addresses.health },
  }
  runtime.set_default(own)
  for what, port in pairs { metrics = own.metrics_port, healthz = own.health_port } do
    local host = (what == "metrics" and addresses.metrics or addresses.health):match "^(.*):"
    io.stdout:write(("%s: http://%s:%d/%s\n"):format(what == "metrics" and "Metrics" or "Health", host, port, what))
  end
end

---@param list string[]
---@param connection temporal.ConnectOptions
---@param addresses { metrics?: string, health?: string }
---@param codec_server? table options of codec.remote
---@param given { flags: table<string, string>, config?: string, columns?: fun(): integer } columns: of the terminal
--- that shows the workers' status
return function(list, connection, addresses, codec_server, given)
  open_runtime(addresses)
  if codec_server then
    connection.data_converter = converter.data_converter { payload_codecs = { converter.codec.remote(codec_server) } }
  end
  local workers = {}
  for _, script in ipairs(list) do
    for _, w in ipairs(scripts.load(script)) do
      workers[#workers + 1] = w
    end
  end
  settings.apply(workers, given.flags, given.config)
  local shared -- no connection that no worker wants: it could be refused
  for _, w in ipairs(workers) do
    if not w.client then
      shared = shared or client.connect(connection)
      w.client = shared
    end
    w:prepare()
  end
  for _, w in ipairs(workers) do
    w:start()
  end
  for _, w in ipairs(workers) do
    route(w)
  end
  serve_requests { scripts = list, workers = workers }
  for _, w in ipairs(workers) do
    io.stdout:write(("worker on task queue '%s' is running; stop it with Ctrl-C\n"):format(w.task_queue))
  end
  io.stdout:flush()
  if given.columns then
    status.keep(workers, given.columns)
  end
  for _, w in ipairs(workers) do
    w:run()
  end
end
