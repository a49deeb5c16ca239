--- What the public header gives a native activity beyond its input and result.
local helper = require "helper"
local temporal = require "temporal"

local module = [[
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>
#include "temporal_lua.h"
static const tlua_host_api *host;
static void mark(void *ud) { atomic_fetch_add((atomic_int *)ud, 1); }
static void nap(void) { struct timespec t = {0, 5000000}; nanosleep(&t, NULL); }
static void by_callback(tlua_activity *a, void *ud) {
    atomic_int seen = 0, late = 0, i = 0; (void)ud;
    host->on_cancel(a, mark, &seen);
    while (!atomic_load(&seen) && i++ < 4000) { host->heartbeat(a); nap(); }
    host->on_cancel(a, NULL, NULL);
    host->on_cancel(a, mark, &late); /* it is cancelled already: at once */
    host->put_json(a, TLUA_RESULT, seen == 1 && late == 1 ? "true" : "false", seen == 1 && late == 1 ? 4 : 5);
}
static void shutdown_seen(tlua_activity *a, void *ud) {
    (void)ud;
    host->log(a, TLUA_LOG_WARN, host->worker_shutting_down(a) ? "early" : "begun");
    int ok = host->wait_worker_shutdown(a, 20000) && host->worker_shutting_down(a) && !host->cancelled(a);
    host->put_json(a, TLUA_RESULT, ok ? "true" : "false", ok ? 4 : 5);
}
int tlua_module_v1(const tlua_host_api *api, tlua_module *m) {
    host = api;
    int rc = api->register_activity(m, "by_callback", by_callback, NULL);
    return rc ? rc : api->register_activity(m, "shutdown_seen", shutdown_seen, NULL);
}
]]

local source = [[
  local workflow = require "temporal.workflow"
  return {
    workflow.define("Cancels", function()
      local handle = workflow.start_activity("by_callback", {
        start_to_close_timeout = 60, heartbeat_timeout = 0.5, cancellation_type = "wait_cancellation_completed",
      })
      workflow.sleep(0.05)
      handle:cancel()
      return handle:result()
    end),
    workflow.define("Shuts", function()
      return workflow.execute_activity("shutdown_seen", { start_to_close_timeout = 60 })
    end),
  }
]]

describe("a native activity", function()
  local folder

  setup(function()
    folder = helper.folder().name
    local file <close> = assert(io.open(folder .. "/hears.c", "w"))
    file:write(module)
    file:close()
    local code, _, errors = helper.run(("cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fPIC -shared -Ihost/include "
      .. "-o %s/libhears.so %s/hears.c"):format(folder, folder))
    assert.are.equal("", errors)
    assert.are.equal(0, code)
  end)

  teardown(function() os.execute("rm -r " .. folder) end)

  local function environment(options)
    options.activities = { native = { folder .. "/libhears.so" } }
    return helper.environment(source, options)
  end

  it("hears of its cancellation by a callback, once", function()
    local env <close> = environment {}
    assert.is_true(env:execute_workflow "Cancels")
  end)

  it("sees the worker's shutdown before its grace is over", function()
    local env <close> = environment { worker = { graceful_shutdown_timeout = 60 }, replay = false }
    local handle = env:start_workflow "Shuts"
    helper.eventually(env, function()
      local pending = handle:describe().pending_activities
      return pending and pending[1] and pending[1].state == "started"
    end)
    env.worker:shutdown()
    local completed = helper.event(handle, "activity_task_completed")
    assert.is_true(require "temporal.core".decode(completed.result))
    assert.is_falsy(temporal.is_cancelled(completed))
  end)
end)
