--- Worker scripts: running them, and running them again when they have changed.
local roots = require "temporal.internal.roots"

local scripts = {}

local function is_worker(value)
  return type(value) == "table" and type(value.start) == "function" and type(value.task_queue) == "string"
end

--- A script returns a worker or a list of workers; modules beside it are found. Where it gives functions as
--- activities, or Nexus services, its own text is part of the build.
---@param script string
---@return temporal.Worker[]
function scripts.load(script)
  arg[0] = script -- luacheck: ignore 122
  roots.extend { roots.of_script() }
  local file, problem = io.open(script, "rb")
  if not file then
    error("cannot open " .. tostring(problem), 0)
  end
  local text = file:read "a"
  file:close()
  local chunk, message = load(text:gsub("^#[^\n]*", ""), "@" .. script, "t")
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
    w.plan.script_text = (next(w.plan.functions) or next(w.plan.nexus_handlers)) and text or nil
  end
  return list
end

--- The modules that were loaded from files, without the SDK's.
local function own_modules()
  local own = {}
  for name, value in pairs(package.loaded) do
    if type(name) == "string" and not name:find "^temporal%f[%z.]" and package.searchpath(name, package.path) then
      own[name] = value
    end
  end
  return own
end

--- Runs scripts again with their modules loaded anew. When one fails, what was loaded before is back and
--- the error is returned.
---@param list string[]
---@return temporal.Worker[]? workers
---@return string? message
function scripts.load_again(list)
  local before, path, script = own_modules(), package.path, arg[0]
  for name in pairs(before) do
    package.loaded[name] = nil
  end
  local workers = {}
  local ok, message = pcall(function()
    for _, file in ipairs(list) do
      for _, w in ipairs(scripts.load(file)) do
        workers[#workers + 1] = w
      end
    end
  end)
  arg[0] = script -- luacheck: ignore 122
  if ok then
    return workers
  end
  for name in pairs(own_modules()) do
    package.loaded[name] = nil
  end
  for name, value in pairs(before) do
    package.loaded[name] = value
  end
  package.path = path
  return nil, tostring(message)
end

return scripts
