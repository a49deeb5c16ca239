-- Writes docs/rpc.md: what the embedded server does with each RPC, from host/rpc/methods.def and
-- host/server/api/table.def. With --check it fails when the file in the tree is not that text.
-- usage: lua5.4 tools/gen/rpc.lua [--check]
local services = {
  WORKFLOW = "WorkflowService",
  OPERATOR = "OperatorService",
  TEST = "TestService",
}

local function rows(file, pattern)
  local out = {}
  for line in io.lines(file) do
    local a, b = line:match(pattern)
    if a then
      out[#out + 1] = { a, b }
    end
  end
  return out
end

local status, refusal = {}, {}
for _, row in ipairs(rows("host/server/api/table.def", "^(%u+)%(([%w_]+)")) do
  status[row[2]] = row[1]
end
for _, row in ipairs(rows("host/server/api/table.def", '^REFUSED%(([%w_]+), [%w_]+, "(.-)"%)')) do
  refusal[row[1]] = "refused: " .. row[2]
end

--- What has to be set for a method that is refused by default.
local condition = {}
for _, method in ipairs { "UpdateWorkerBuildIdCompatibility", "GetWorkerBuildIdCompatibility" } do
  condition[method] = " with the dynamic config `frontend.workerVersioningDataAPIs`; refused by default"
end
condition.PollWorkflowExecutionTimeSkipping =
  " with the dynamic config `frontend.WorkflowTimeSkippingEnabled`; refused by default"

--- What the page says of a method.
local function word(method)
  return refusal[method] or status[method] == "ABSENT" and "UNIMPLEMENTED" or "works"
end

local order, by_service, done, total = { "WORKFLOW", "OPERATOR", "TEST" }, {}, 0, 0
for _, row in ipairs(rows("host/rpc/methods.def", "^X%((%u+), ([%w_]+)")) do
  local service, method = row[1], row[2]
  assert(status[method], "no row in table.def: " .. method)
  by_service[service] = by_service[service] or {}
  table.insert(by_service[service], method)
  total = total + 1
  done = done + (word(method) == "works" and 1 or 0)
end

local text = {
  "<!-- generated from host/server/api/table.def by tools/gen/rpc.lua - do not edit -->",
  "# RPCs of the embedded server",
  "",
  ("%d of %d are carried out; the rest answer UNIMPLEMENTED and their capability bits are false."):format(done, total),
}
for _, service in ipairs(order) do
  text[#text + 1] = ("\n## %s\n\n| RPC | |\n|---|---|"):format(services[service])
  for _, method in ipairs(by_service[service]) do
    text[#text + 1] = ("| %s | %s%s |"):format(method, word(method), condition[method] or "")
  end
end
local wanted = table.concat(text, "\n") .. "\n"

if arg[1] == "--check" then
  local handle = io.open "docs/rpc.md"
  local found = handle and handle:read "a"
  if found ~= wanted then
    io.stderr:write "docs/rpc.md is not what tools/gen/rpc.lua writes: run lua5.4 tools/gen/rpc.lua\n"
    os.exit(1)
  end
else
  local handle = assert(io.open("docs/rpc.md", "w"))
  handle:write(wanted)
  handle:close()
end
