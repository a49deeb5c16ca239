-- The options of a worker as flags of `worker run`, from the table that the worker itself has them from.
-- commands.lua joins them to the command's own.

local folder = debug.getinfo(1, "S").source:match "^@(.*)options_worker%.lua$"
local list = {}

--- What a flag's value looks like, where the text of the table does not say it.
local forms = { DUR = " (a duration)", POLLER = ": a number, or autoscaling[:MIN-MAX[:INITIAL]]" }

for line in io.lines(folder .. "../worker/options.def") do
  local kind, name, text = line:match '^(%u+)%(([%w_]+),.-"(.*)"%)$'
  -- The queue is the script's: its workflows and activities belong to it.
  if kind and kind ~= "NONE" and name ~= "task_queue" then
    list[#list + 1] = {
      name = name:gsub("_", "-"),
      kind = kind == "BOOL" and "boolean" or "string",
      help = text:sub(1, 1):upper() .. text:sub(2) .. (forms[kind] or ""),
    }
  end
end
assert(#list > 0, "no rows in options.def")
return list
