-- Failures as they come over the wire, written by hand: every kind and every enum.
local core = require "temporal.core"

--- One field of a message: a varint, or bytes.
local function field(number, value)
  if type(value) == "number" then
    return string.char(number << 3, value)
  end
  assert(#value < 128)
  return string.char(number << 3 | 2, #value) .. value
end

--- A failure with this message and this field of its kind.
local function failure(kind, info, cause)
  return field(1, "m") .. (cause and field(4, cause) or "") .. field(kind, info)
end

local timeout_types = { "start_to_close", "schedule_to_start", "schedule_to_close", "heartbeat" }
local retry_states = {
  "in_progress", "non_retryable_failure", "timeout", "maximum_attempts_reached", "retry_policy_not_set",
  "internal_server_error", "cancel_requested",
}

describe("failures on the wire", function()
  it("name every type of timeout", function()
    for number, name in ipairs(timeout_types) do
      local err = core.decode_failure(failure(6, field(1, number)))
      assert.are.same({ "TimeoutError", "TimeoutError", name, "m" },
        { err.kind, err.type, err.timeout_type, err.message })
    end
  end)

  it("name every retry state, of activities and children", function()
    for number, name in ipairs(retry_states) do
      assert.are.equal(name, core.decode_failure(failure(11, field(6, number))).retry_state)
      assert.are.equal(name, core.decode_failure(failure(12, field(6, number))).retry_state)
    end
    assert.is_nil(core.decode_failure(failure(11, field(6, 0))).retry_state)
  end)

  it("tell everything of an activity and of a child", function()
    local err = core.decode_failure(failure(11, field(1, 5) .. field(2, 6) .. field(3, "who")
      .. field(4, field(1, "Charge")) .. field(5, "a-1"), failure(9, field(1, 1))))
    assert.are.same({ "ActivityError", 5, 6, "who", "Charge", "a-1" }, {
      err.kind, err.scheduled_event_id, err.started_event_id, err.identity, err.activity_type, err.activity_id })
    assert.are.same({ "ServerError", true }, { err.cause.type, err.cause.non_retryable })
    err = core.decode_failure(failure(12, field(1, "ns") .. field(2, field(1, "w") .. field(2, "r"))
      .. field(3, field(1, "Invoice")) .. field(4, 7) .. field(5, 8), failure(8, "")))
    assert.are.same({ "ChildWorkflowError", "ns", "w", "r", "Invoice", 7, 8 }, {
      err.kind, err.namespace, err.workflow_id, err.run_id, err.workflow_type, err.initiated_event_id,
      err.started_event_id })
    assert.are.equal("TerminatedError", err.cause.type)
  end)

  it("that are broken are no failures, and crash nothing", function()
    for _, bytes in ipairs { "\255", failure(6, field(1, 1)):sub(1, -2), ("\34"):rep(200) } do
      local ok, err = pcall(core.decode_failure, bytes)
      assert.is_true(not ok or type(err) == "table")
    end
  end)
end)
