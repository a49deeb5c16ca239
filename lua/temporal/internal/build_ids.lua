--- What `temporal-lua worker build-id` does: prints task queue and build ID of every worker that the scripts
--- return.
local scripts = require "temporal.internal.scripts"

---@param list string[]
return function(list)
  for _, script in ipairs(list) do
    for _, w in ipairs(scripts.load(script)) do
      io.stdout:write(w.task_queue, "\t", w:default_build_id(), "\n")
    end
  end
end
