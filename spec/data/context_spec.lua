-- What payload and failure converters are told of whose values they convert; failure converters of the user.
local helper = require "helper"
local temporal = require "temporal"
local testing = require "temporal.testing"

local head = [[
  local temporal = require "temporal"
  local workflow = require "temporal.workflow"
]]

--- A payload carries what its converter was told, and its value adds what was told on arrival.
local told = [[
  local function text(c)
    if not c then return "nothing" end
    return table.concat({ c.kind, c.namespace, c.workflow_id or "-", c.workflow_type or "-", c.activity_type or "-",
      c.activity_task_queue or "-", c.activity_id or "-", tostring(c.is_local), c.endpoint or "-", c.service or "-",
      c.operation or "-" }, " ")
  end
  return {
    encoding = "text/told",
    to_payload = function(value, context)
      if type(value) == "table" and value.told then return { data = text(context) } end
    end,
    from_payload = function(payload, context) return { told = true, from = payload.data, to = text(context) } end,
  }]]

local function of_workflow(id)
  return "workflow default " .. id .. " - - - - nil - - -"
end

local function of_activity(is_local, id)
  return ("activity default w-1 W echo test %s %s - - -"):format(id or "-", is_local)
end

describe("converters", function()
  local modules

  setup(function() modules = helper.module_folder() end)
  teardown(function() modules:close() end)

  local function environment(source, converter, more)
    local o = { workflows = { { name = "spec", source = head .. source } }, roots = { modules.name } }
    o.data_converter = temporal.data_converter(converter)
    for k, v in pairs(more or {}) do
      o[k] = v
    end
    return testing.environment(o)
  end

  it("are told whose values they convert: of messages the workflow they go to", function()
    modules.module("told", told)
    local env <close> = environment([[
      return workflow.define("Messages", function()
        local seen = {}
        workflow.set_signal_handler("s", function(s) seen.signal = { s.from, s.to } end)
        workflow.set_update_handler("u", function(u) seen.update = { u.from, u.to } return u end)
        workflow.set_query_handler("q", function(q) return { q.from, q.to }, q end)
        workflow.wait_condition(function() return seen.signal and seen.update end)
        return seen
      end)]], { payload_converters = { "told" } })
    local messages = env:start_workflow("Messages", { id = "m-1" }, { told = true })
    local asked, answer = messages:query("q", { told = true })
    local m = of_workflow "m-1"
    assert.are.same({ { m, m }, m, m }, { asked, answer.from, answer.to })
    local updated = messages:execute_update("u", nil, { told = true })
    messages:signal("s", { told = true })
    assert.are.same({ m, m }, { updated.from, updated.to })
    assert.are.same({ signal = { m, m }, update = { m, m } }, messages:result())
  end)

  it("know activities, local activities and children apart", function()
    modules.module("told", told)
    local env <close> = environment([[
      local child = workflow.define("Child", function(v)
        local heard
        workflow.set_signal_handler("hear", function(h) heard = h end)
        workflow.wait_condition(function() return heard end)
        return { v.from, v.to, heard.from, heard.to }, v
      end)
      return { child, workflow.define("W", function(v)
        local seen = { argument = { v.from, v.to } }
        local options = { start_to_close_timeout = 10 }
        local back
        local function pair(p) return { p.from, p.to } end
        seen.activity, back = workflow.execute_activity("echo", options, v)
        seen.result = pair(back)
        seen.local_activity, back = workflow.execute_local_activity("echo", options, v)
        seen.local_result = pair(back)
        -- A conversion that fails leaves nothing of its own to the next one.
        assert(not pcall(workflow.start_activity, "echo", options, print))
        local own = workflow.payload_converter()
        seen.own = pair(own:from_payload(own:to_payload(v)))
        local handle = workflow.start_child_workflow(child, { id = "c-1" }, v)
        handle:signal("hear", v)
        seen.child, back = handle:result()
        seen.child_result = pair(back)
        options.activity_id = "own"
        seen.named = workflow.execute_activity("echo", options, v)
        return seen, v
      end) }]], { payload_converters = { "told" } }, {
      activities = { echo = function(v) return { v.from, v.to }, v end },
    })
    local seen, back = env:start_workflow("W", { id = "w-1" }, { told = true }):result()
    local function starts(text, wanted)
      assert.are.equal(wanted, (text:gsub(" %S+ (%S+) %- %- %-$", " - %1 - - -")))
    end
    local w, c = of_workflow "w-1", of_workflow "c-1"
    assert.are.same({ w, w, w, w }, { seen.argument[1], seen.argument[2], back.from, back.to })
    assert.are.same({ w, w }, seen.own)
    assert.are.same({ { c, c, c, c }, { c, c } }, { seen.child, seen.child_result })
    for name, is_local in pairs { activity = false, result = false, local_activity = true, local_result = true } do
      for _, text in ipairs(seen[name]) do
        starts(text, of_activity(is_local))
      end
    end
    assert.are.same({ of_activity(false, "own"), of_activity(false, "own") }, seen.named)
  end)

  it("are at hand in an activity, and told that it is one", function()
    modules.module("told", told)
    modules.module("converts", [[
      local activity = require "temporal.activity"
      return { echo = function()
        local converter = activity.payload_converter()
        local plain = converter:to_payload { 1, 2 }
        local own = converter:to_payload { told = true }
        local value = converter:from_payload(own)
        local ok, err = pcall(converter.from_payload, converter, { data = "x" })
        return { plain.metadata.encoding, plain.data, #converter:from_payload(plain), own.metadata.encoding, value.from,
          value.to, ok, err }
      end }]])
    local env <close> = environment([[
      return workflow.define("W", function()
        return workflow.execute_activity("echo", { start_to_close_timeout = 10, activity_id = "own" })
      end)]], { payload_converters = { "told" } }, { activities = { "converts" } })
    local seen = env:execute_workflow("W", { id = "w-1" })
    local queue = env.task_queue
    local own = ("activity default w-1 W echo %s own false - - -"):format(queue)
    assert.are.same({ "json/plain", "[1,2]", 2, "text/told", own, own, false }, { table.unpack(seen, 1, 7) })
    assert.matches("a payload is a table with the text 'data' and the table 'metadata'", seen[8])
    assert.error_matches(function() require("temporal.activity").payload_converter() end, "payload_converter")
  end)

  it("of failures see errors on their way out and in", function()
    modules.module("hide", [[
      return {
        to_failure = function(err, context)
          if err.type == "Secret" then
            err.message = "hidden by " .. context.kind
          elseif err.type == "Fresh" then
            return require "temporal".failure { type = "Other", message = "made anew" }
          elseif err.type == "Broken" then
            error "no idea"
          end
        end,
        from_failure = function(err)
          local secret = err.type == "Secret" and err or err.cause
          if secret and secret.type == "Secret" then
            secret.message = secret.message .. ", seen"
          end
        end,
      }]])
    local env <close> = environment([[
      return workflow.define("W", function(kind, where)
        if where == "workflow" then error(temporal.failure { type = kind, message = "m" }) end
        local ok, err = pcall(workflow.execute_activity, "fail", {
          start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } }, kind)
        return err.cause.type, err.cause.message
      end)]], { failure_converter = { module = "hide" } }, {
      activities = { fail = function(kind) error(temporal.failure { type = kind, message = "m" }) end },
    })
    for _, row in ipairs {
      { "Plain", "Plain", "m" },
      { "Secret", "Secret", "hidden by activity, seen" },
      { "Fresh", "Other", "made anew" },
    } do
      assert.are.same({ row[2], row[3] }, { env:execute_workflow("W", nil, row[1]) })
    end
    local type, message = env:execute_workflow("W", nil, "Broken")
    assert.are.equal("FailureConverterError", type)
    assert.matches("the failure converter's to_failure raised: .*no idea", message)
    local ok, err = pcall(env.execute_workflow, env, "W", nil, "Secret", "workflow")
    assert.is_false(ok)
    assert.are.same({ "Secret", "hidden by workflow, seen" }, { err.cause.type, err.cause.message })
  end)

  it("of failures that are none, or two, or give back no error, are told", function()
    modules.module("none", "return {}")
    modules.module("wrong", "return { to_failure = 5 }")
    modules.module("text", "return { from_failure = function() return 'text' end }")
    modules.module("fine", "return { from_failure = function() end }")
    for _, row in ipairs {
      { { failure_converter = { module = "none" } }, "payload converter 'none': 'encoding' must be a string, got nil" },
      { { failure_converter = { module = "wrong" } },
        "failure converter 'wrong': 'to_failure' must be a function, got number" },
      { { payload_converters = { "fine" }, failure_converter = { module = "text" } },
        "failure converter 'text': there is one already" },
      { { failure_converter = { modul = "x" } }, "did you mean 'module'" },
    } do
      assert.error_matches(function()
        local _ <close> = environment("return workflow.define('W', function() end)", row[1])
      end, row[2])
    end
    local env <close> = environment(
      "return workflow.define('W', function() error(temporal.failure { message = 'm' }) end)",
      { failure_converter = { module = "text" } })
    assert.error_matches(function() env:execute_workflow "W" end,
      "from_failure must return an error made by temporal.failure, the one that it got, or nil, got string")
  end)
end)
