-- The driver of the demonstration: starts (or finds again) a number of orders, approves them, and
-- waits for all of them. It may be killed at any moment and started again on the same database.
--   temporal-lua run demo.lua DATABASE ORDERS
local temporal = require "temporal"

local database, count = arg[1], tonumber(arg[2] or 20)
local folder = arg[0]:match "^(.*)/[^/]*$" or "."
local client = temporal.connect { db_filename = database }
local worker <close> = dofile(folder .. "/worker.lua")
worker.client = client
worker:start()

local handles, found = {}, 0
for i = 1, count do
  local id = ("order-%03d"):format(i)
  local order = { id = id, amount = 10 + i, weight_g = 100 * i, packing_time = "300ms" }
  local ok, err = pcall(client.start_workflow, client, "Order", {
    id = id, task_queue = "orders", id_reuse_policy = "reject_duplicate",
  }, order)
  if not ok and err.type ~= "WorkflowAlreadyStartedError" then
    error(err)
  end
  found = found + (ok and 0 or 1)
  handles[i] = client:get_workflow_handle(id)
end
print(("%d orders started, %d found from before"):format(count - found, found))

for i, handle in ipairs(handles) do
  local ok, err = pcall(handle.signal, handle, "approve", "clerk-" .. i % 3)
  if not ok and err.status ~= "NOT_FOUND" then -- an order that has ended needs no approval
    error(err)
  end
end

local completed = 0
for _, handle in ipairs(handles) do
  local result = handle:result()
  completed = completed + 1
  if completed <= 3 or completed == count then
    print(("%s: %s, %s, approved by %s"):format(handle.id, result.receipt.id, result.tracking, result.approved_by))
  elseif completed == 4 then
    print "..."
  end
end
print(("%d of %d orders completed"):format(completed, count))

if arg[3] then
  local file = assert(io.open(arg[3], "w"))
  file:write(handles[3]:fetch_history_json())
  file:close()
end
