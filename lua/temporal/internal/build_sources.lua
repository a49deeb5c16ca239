--- The Lua modules of a build's activities. What the first state has loaded from files is kept as one text,
--- which is digested into the build ID and from which every later state of the build loads: a file that
--- changes on disk does not reach a build that runs.
local build_sources = {}

--- Name and content of every loaded module that was found as a file, sorted by name.
function build_sources.collect()
  local names, parts = {}, {}
  for name in pairs(package.loaded) do
    if type(name) == "string" and not name:find "^temporal%f[%z.]" then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local path = package.searchpath(name, package.path)
    local file <close> = path and io.open(path, "rb")
    if file then
      parts[#parts + 1] = ("s4s4"):pack(name, file:read "a")
    end
  end
  return table.concat(parts)
end

--- Lets `require` find what was collected before it looks for files.
function build_sources.install(text)
  local kept, at = {}, 1
  while at <= #text do
    local name, content
    name, content, at = ("s4s4"):unpack(text, at)
    kept[name] = content
  end
  table.insert(package.searchers, 2, function(name)
    local content = kept[name]
    if content then
      return assert(load(content, "@" .. name:gsub("%.", "/") .. ".lua"))
    end
    return ("\n\tno module '%s' in the build"):format(name)
  end)
end

return build_sources
