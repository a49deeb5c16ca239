--- Folders below which modules are found: workflows, activities, interceptors.
local roots = {}

--- The folder of the script that runs.
function roots.of_script()
  local script = arg and arg[0] or ""
  return script:match "^(.*)/[^/]*$" or "."
end

--- Lets `require` find modules there.
---@param list string[]
function roots.extend(list)
  for i = #list, 1, -1 do
    local entry = list[i] .. "/?.lua;" .. list[i] .. "/?/init.lua;"
    if not package.path:find(entry, 1, true) then
      package.path = entry .. package.path
    end
  end
end

return roots
