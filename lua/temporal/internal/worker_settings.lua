--- What `temporal-lua worker run` sets above the options of the scripts: flags, and a file of settings.
local core = require "temporal.core"
local options = require "temporal.internal.options"
local worker = require "temporal.worker"

local settings = {}

--- The text of a flag as the value that the option takes; what is none stays text, which the check refuses.
local function value_of(kind, text)
  if kind == "integer" then
    return math.tointeger(tonumber(text)) or text
  elseif kind == "real" or kind == "duration" then
    return tonumber(text) or text
  elseif kind == "boolean" then
    return text == "true"
  elseif kind == "poller" then
    return core.poller_behavior(text) or text
  end
  return text
end

--- The table that a file of settings returns. It is data: it sees no globals.
local function read(path)
  local chunk, message = loadfile(path, "t", {})
  if not chunk then
    error("--config: " .. message, 0)
  end
  local ok, value = pcall(chunk)
  if not ok or type(value) ~= "table" then
    error(("--config: %s: %s"):format(path, ok and "it must return a table, got " .. type(value) or tostring(value)), 0)
  end
  return value
end

--- Settings for all, and those of one task queue above them.
local function split(path, given, workers)
  local all, queues, known = {}, given.task_queues, {}
  for name, value in pairs(given) do
    all[name] = name ~= "task_queues" and value or nil
  end
  if queues ~= nil and type(queues) ~= "table" then
    error(("--config: %s: task_queues wants a table of task queues, got %s"):format(path, type(queues)), 0)
  end
  for _, w in ipairs(workers) do
    known[#known + 1] = w.task_queue
  end
  for name in pairs(queues or {}) do
    local found = false
    for _, queue in ipairs(known) do
      found = found or queue == name
    end
    if not found then
      local near = options.near(tostring(name), known)
      error(("--config: %s: no worker has the task queue '%s'%s"):format(
        path, tostring(name), near and (", did you mean '%s'?"):format(near) or ""), 0)
    end
  end
  return all, queues or {}
end

--- An error without the place in our code that found it.
local function apply(w, given, where)
  local ok, err = pcall(worker.override, w, given, where)
  if not ok then
    error((tostring(err):gsub("^[^\n]-:%d+: ", "")), 0)
  end
end

--- Sets the options of the workers: those of the file, then the flags.
---@param workers temporal.Worker[]
---@param flags table<string, string> names of options to what stood on the command line
---@param path? string of a file of settings
function settings.apply(workers, flags, path)
  local all, queues = {}, {}
  if path then
    all, queues = split(path, read(path), workers)
  end
  local given = {}
  for _, row in ipairs(core.worker_options()) do
    if flags[row.name] then
      given[row.name] = value_of(row.kind, flags[row.name])
    end
  end
  for _, w in ipairs(workers) do
    apply(w, all, "--config: " .. tostring(path))
    local own = queues[w.task_queue]
    if own ~= nil and type(own) ~= "table" then
      error(("--config: %s: task_queues.%s wants a table of options"):format(path, w.task_queue), 0)
    end
    apply(w, own or {}, ("--config: %s: task_queues.%s"):format(path, w.task_queue))
    apply(w, given, "worker run")
  end
end

return settings
