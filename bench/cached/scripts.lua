-- The workflows whose cached runs are weighed: a small one, and one of 460 lines with three modules. The long
-- texts are made here, of functions as people write them: checks with messages, loops, tables, closures.
local scripts = {}

scripts.small = [[
local workflow = require "temporal.workflow"
local options = { task_queue = "nobody", start_to_close_timeout = "1h" }

return workflow.define("Order", function(order)
  local status = "new"
  workflow.set_query_handler("status", function() return status end)
  local payment = workflow.execute_activity("charge", options, order)
  status = "charged"
  return workflow.execute_activity("ship", options, payment)
end)
]]

-- 19 lines with the empty one after it.
local CHECK = [[
local function check_$(order, limits, problems)
  local found = order.$_lines or {}
  if type(order.$_id) ~= "string" then
    problems[#problems + 1] = "the order has no $_id"
  elseif #order.$_id > limits.$_id_length then
    problems[#problems + 1] = ("$_id has %d characters, more than %d"):format(#order.$_id, limits.$_id_length)
  end
  local total, heaviest = 0, nil
  for i, line in ipairs(found) do
    if line.quantity <= 0 then
      problems[#problems + 1] = ("line %d of $: nothing of %s is wanted"):format(i, line.article)
    elseif not heaviest or line.weight > heaviest.weight then
      heaviest = { article = line.article, weight = line.weight, reason = "$ of the order" }
    end
    total = total + line.quantity * (line.price or limits.default_$_price)
  end
  return { kind = "$", total = total, heaviest = heaviest, warn = function() return #problems > 0 and "$?" end }
end
]]

local SUBJECTS = {
  "address", "customer", "payment", "parcel", "refund", "coupon", "invoice", "receipt", "delivery", "discount",
  "warranty", "courier", "stock", "price", "tax", "currency", "gift", "message", "audit", "loyalty", "fraud",
  "insurance", "contract",
}

local MAIN = [[
local workflow = require "temporal.workflow"
local rules = { require "rules_1", require "rules_2", require "rules_3" }
local options = { task_queue = "nobody", start_to_close_timeout = "1h" }
]]

local FLOW = [[
local function problems_of(order)
  local problems, limits = {}, { default_price = 1 }
  for _, rule in ipairs(rules) do
    rule.check(order, limits, problems)
  end
  return problems
end

return workflow.define("LargeOrder", function(order)
  local status, log = "new", {}
  local function set(now)
    log[#log + 1], status = status, now
  end
  workflow.set_query_handler("status", function() return status end)
  workflow.set_query_handler("log", function() return log end)
  workflow.set_signal_handler("note", function(text) log[#log + 1] = text end)
  workflow.set_update_handler("correct", function(address) order.address = address return status end)
  set(#problems_of(order) == 0 and "checked" or "doubtful")
  local payment = workflow.execute_activity("charge", options, order)
  set "charged"
  return workflow.execute_activity("ship", options, payment, #checks)
end)
]]

local function functions(first, last, names)
  local parts = {}
  for i = first, last do
    local subject = SUBJECTS[i]
    parts[#parts + 1] = (CHECK:gsub("%$", subject))
    names[#names + 1] = "check_" .. subject
  end
  return table.concat(parts, "\n")
end

--- A module of three of the checks.
function scripts.rules(number)
  local names = {}
  local text = functions(3 * number - 2, 3 * number, names)
  return text .. ([[

return { check = function(order, limits, problems)
  for _, check in ipairs { %s } do
    check({ order = order }, limits, problems)
  end
end }
]]):format(table.concat(names, ", "))
end

--- The script of 460 lines; its modules are rules_1, rules_2 and rules_3.
function scripts.large()
  local names = {}
  local text = MAIN .. functions(1, #SUBJECTS, names)
  return ("%s\nlocal checks = { %s }\n\n%s"):format(text, table.concat(names, ", "), FLOW)
end

return scripts
