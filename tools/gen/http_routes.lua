-- Writes the HTTP bindings of proto/http_paths.tsv as a C table (host/http/routes.h). A binding of a
-- method that host/rpc/methods.def does not have is an error.
-- usage: lua5.4 http_routes.lua PATHS.tsv METHODS.def OUTPUT.c
local paths, methods, output = arg[1], arg[2], arg[3]

local known = {}
for line in io.lines(methods) do
  local name = line:match "^X%(%u+, ([%w_]+)"
  if name then
    known[name] = true
  end
end

local out = {
  "/* generated from proto/http_paths.tsv by tools/gen/http_routes.lua - do not edit */",
  '#include "http/routes.h"',
  "",
  "const struct tl_http_route tl_http_routes[] = {",
}
local count = 0
for line in io.lines(paths) do
  if not line:find "^#" then
    local method, verb, path, body = line:match "^[%w_.]+/([%w_]+)\t(%u+)\t([^\t]+)\t([^\t]*)$"
    assert(method and (body == "" or body == "*"), line)
    assert(known[method], "not in methods.def: " .. method)
    out[#out + 1] = ('    {TL_M_%s, "%s", "%s", %s},'):format(method, verb, path, body == "*" and "true" or "false")
    count = count + 1
  end
end
out[#out + 1] = "};"
out[#out + 1] = ("const size_t tl_http_route_count = %d;\n"):format(count)
local handle = assert(io.open(output, "wb"))
handle:write(table.concat(out, "\n"))
handle:close()
