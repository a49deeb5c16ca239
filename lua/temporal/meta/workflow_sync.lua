---@meta
-- What `require "temporal.workflow"` gives for coroutines that work together; the rest is in workflow.lua.

---@class temporal.workflow
local workflow = {}

-- Channels, locks, groups ------------------------------------------------------------------------

---@class temporal.workflow.Channel
local channel = {}

---@async
---@param value any
---@param options? temporal.workflow.ConditionOptions
---@return boolean sent false: the time is over
function channel:send(value, options) end

---@async
---@param options? temporal.workflow.ConditionOptions
---@return any value
---@return boolean ok false: closed and empty, or the time is over
---@return "timeout"? why
function channel:receive(options) end

---@param value any
---@return boolean
function channel:try_send(value) end

---@return any value
---@return boolean ok
function channel:try_receive() end

---@async
---@return fun(): any
function channel:each() end

function channel:close() end

---@return boolean
function channel:closed() end

---@return integer
function channel:count() end

---@param capacity? integer default: 0, a sender waits until its value is taken
---@return temporal.workflow.Channel
---@nodiscard
function workflow.channel(capacity) end

---@class temporal.workflow.AcquireOptions: temporal.workflow.ConditionOptions
---@field count? integer default: 1

--- For a <close> variable: releases when the scope ends.
---@class temporal.workflow.Guard
local guard = {}

function guard:release() end

---@class temporal.workflow.Semaphore
local semaphore = {}

---@async
---@param options? temporal.workflow.AcquireOptions
---@return temporal.workflow.Guard? nil: the time is over
function semaphore:acquire(options) end

---@param count? integer
---@return temporal.workflow.Guard?
function semaphore:try_acquire(count) end

---@param count? integer
function semaphore:release(count) end

---@async
---@param fn fun(...): any ...
---@param ... any
---@return any ...
function semaphore:with(fn, ...) end

---@return integer
function semaphore:available() end

---@class temporal.workflow.Lock: temporal.workflow.Semaphore
local lock = {}

---@return boolean
function lock:locked() end

---@param count integer
---@return temporal.workflow.Semaphore
---@nodiscard
function workflow.semaphore(count) end

---@return temporal.workflow.Lock
---@nodiscard
function workflow.lock() end

---@class temporal.workflow.WaitGroup
local wait_group = {}

---@param n? integer default: 1
function wait_group:add(n) end

function wait_group:done() end

---@async
---@param options? temporal.workflow.ConditionOptions
---@return boolean
function wait_group:wait(options) end

---@return temporal.workflow.WaitGroup
---@nodiscard
function workflow.wait_group() end

--- For a <close> variable: coroutines that end together; the first error cancels the others.
---@class temporal.workflow.Group
local group = {}

---@param fn async fun(...): any ...
---@param ... any
---@return temporal.workflow.Future
function group:spawn(fn, ...) end

---@async
function group:wait() end

function group:cancel() end

---@return integer
function group:count() end

---@return temporal.workflow.Group
function workflow.group() end
