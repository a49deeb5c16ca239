-- What the generators of pages share: writing a page, or checking that the one in the tree is the same.
local page = {}

--- The last line of a page's opening comment names its source, so that nobody edits it by hand.
---@param source string
---@param generator string
function page.opening(source, generator)
  return ("<!-- generated from %s by %s - do not edit -->"):format(source, generator)
end

--- Writes `text` to `path`; with --check as the first argument compares and exits 1 on a difference.
---@param path string
---@param text string
---@param generator string
function page.finish(path, text, generator)
  if arg[1] == "--check" then
    local handle = io.open(path)
    local found = handle and handle:read "a"
    if handle then
      handle:close()
    end
    if found ~= text then
      io.stderr:write(("%s is not what %s writes: run lua5.4 %s\n"):format(path, generator, generator))
      os.exit(1)
    end
    return
  end
  local handle = assert(io.open(path, "w"))
  handle:write(text)
  handle:close()
end

return page
