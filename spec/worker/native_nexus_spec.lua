--- Nexus operations whose handlers are C functions of a native module.
local helper = require "helper"

local module = [[
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "temporal_lua.h"
static const tlua_host_api *host;
static int attempts;
static void put(tlua_operation *o, const char *json) {
    host->operation_put(o, TLUA_RESULT, "json/plain", json, strlen(json));
}
static int is(tlua_bytes b, const char *s) { return b.size == strlen(s) && memcmp(b.data, s, b.size) == 0; }
static void echo(tlua_operation *o, void *ud) {
    tlua_payload p;
    if (host->operation_input(o, &p) == TLUA_OK) {
        char encoding[64];
        snprintf(encoding, sizeof encoding, "%.*s", (int)p.encoding.size, p.encoding.data);
        host->operation_put(o, TLUA_RESULT, encoding, p.data.data, p.data.size);
    } else put(o, (const char *)ud);
}
static void facts(tlua_operation *o, void *ud) {
    const tlua_operation_info *i = host->operation_info(o);
    tlua_bytes name, value;
    char header[64] = "", out[512];
    int callback = 0;
    (void)ud;
    for (size_t n = 0; host->operation_header(o, n, &name, &value) == TLUA_OK; n++)
        if (is(name, "x-shop")) snprintf(header, sizeof header, "%.*s", (int)value.size, value.data);
    for (size_t n = 0; host->operation_callback_header(o, n, &name, &value) == TLUA_OK; n++)
        callback += is(name, "temporal-callback-token") && value.size > 0;
    int link = host->operation_link(o, 0, &name, &value) == TLUA_OK && name.size > 0;
    int past = host->operation_link(o, 1, &name, &value) == TLUA_ENOTFOUND;
    snprintf(out, sizeof out, "[\"%.*s\",\"%.*s\",\"%.*s\",\"%s\",%d,%d,%d,%s,%s,%d]", (int)i->service.size,
        i->service.data, (int)i->operation.size, i->operation.data, (int)i->endpoint.size, i->endpoint.data, header,
        callback, link, past, i->is_cancel ? "true" : "false",
        i->deadline_ns > 0 && i->request_id.size > 0 && i->callback_url.size > 0 ? "true" : "false",
        (int)host->operation_cancelled(o));
    put(o, out);
}
static void misuse(tlua_operation *o, void *ud) {
    tlua_operation_failure f = TLUA_OPERATION_FAILURE_INIT;
    tlua_operation_refusal r = TLUA_OPERATION_REFUSAL_INIT;
    tlua_operation_workflow w = TLUA_OPERATION_WORKFLOW_INIT;
    tlua_metric m = TLUA_METRIC_INIT;
    tlua_error e;
    char out[128];
    (void)ud;
    f.size = 1; r.retry = 9; m.name = "shop_sales";
    int codes[] = { host->operation_put(o, 9, "json/plain", "1", 1), host->operation_put(o, TLUA_RESULT, "", "1", 1),
        host->operation_put(o, TLUA_RESULT, "json/plain", "\xff", 1), host->operation_started(o, ""),
        host->operation_fail(o, &f), host->operation_refuse(o, &r), host->operation_start_workflow(o, &w, NULL, &e),
        host->operation_add_link(o, "", "x"), host->operation_record_metric(o, &m, -1, NULL, 0),
        host->operation_record_metric(o, &m, 2, NULL, 0) };
    host->operation_log(o, TLUA_LOG_INFO, "misused");
    int n = snprintf(out, sizeof out, "[");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        n += snprintf(out + n, sizeof out - (size_t)n, "%s%d", i ? "," : "", codes[i]);
    snprintf(out + n, sizeof out - (size_t)n, "]");
    put(o, out);
}
static void fails(tlua_operation *o, void *ud) {
    tlua_operation_failure f = TLUA_OPERATION_FAILURE_INIT;
    f.canceled = ud != NULL; f.type = "Declined"; f.message = "no money";
    host->operation_put(o, TLUA_FAILURE_DETAILS, "json/plain", "\"card\"", 6);
    host->operation_fail(o, &f);
}
static void refuses(tlua_operation *o, void *ud) {
    tlua_operation_refusal r = TLUA_OPERATION_REFUSAL_INIT;
    r.type = ud; r.message = "not here"; r.retry = ud ? TLUA_RETRY_BY_TYPE : TLUA_RETRY_YES;
    if (!ud && ++attempts > 1) put(o, "\"at last\"");
    else host->operation_refuse(o, &r);
}
static void backed(tlua_operation *o, void *ud) {
    tlua_operation_workflow w = TLUA_OPERATION_WORKFLOW_INIT;
    tlua_payload p;
    tlua_error e;
    char run_id[64] = "";
    (void)ud;
    host->operation_input(o, &p);
    w.workflow_id = "back"; w.workflow_type = "Back"; w.args = &p; w.args_count = 1; w.run_timeout_ms = 3600000;
    if (host->operation_start_workflow(o, &w, run_id, &e) != TLUA_OK || !*run_id) {
        tlua_operation_refusal r = TLUA_OPERATION_REFUSAL_INIT;
        r.type = "BAD_REQUEST"; r.message = e.message;
        host->operation_refuse(o, &r);
    }
}
static void goes_on(tlua_operation *o, void *ud) { (void)ud; host->operation_started(o, "token-7"); }
static void stops(tlua_operation *o, void *ud) {
    tlua_operation_refusal r = TLUA_OPERATION_REFUSAL_INIT;
    r.type = "BAD_REQUEST"; r.message = "another token"; (void)ud;
    if (!is(host->operation_info(o)->operation_token, "token-7") || !host->operation_info(o)->is_cancel
        || host->operation_started(o, "x") != TLUA_EINVAL)
        host->operation_refuse(o, &r);
}
static int add(tlua_module *m, const char *name, tlua_operation_fn start, tlua_operation_fn cancel, void *ud) {
    tlua_operation_handler h = TLUA_OPERATION_HANDLER_INIT;
    h.start = start; h.cancel = cancel; h.ud = ud;
    return host->register_operation(m, "shop", name, &h);
}
int tlua_module_v1(const tlua_host_api *api, tlua_module *m) {
    host = api;
    if (!TLUA_HAS(api, operation_record_metric)) return TLUA_EUNIMPLEMENTED;
    int rc = add(m, "echo", echo, NULL, "\"nothing\"");
    rc = rc ? rc : add(m, "facts", facts, NULL, NULL);
    rc = rc ? rc : add(m, "misuse", misuse, NULL, NULL);
    rc = rc ? rc : add(m, "fails", fails, NULL, NULL);
    rc = rc ? rc : add(m, "cancels", fails, NULL, (void *)1);
    rc = rc ? rc : add(m, "refuses", refuses, NULL, "NOT_FOUND");
    rc = rc ? rc : add(m, "tries", refuses, NULL, NULL);
    rc = rc ? rc : add(m, "backed", backed, NULL, NULL);
    rc = rc ? rc : add(m, "goes_on", goes_on, stops, NULL);
    return rc ? rc : add(m, TWICE ? "echo" : "own_token", goes_on, NULL, NULL);
}
]]

local source = [[
  local workflow = require "temporal.workflow"
  local shop = workflow.nexus_client { endpoint = "shop", service = "shop" }
  return {
    workflow.define("Call", function(name, input)
      return shop:execute_operation(name, { headers = { ["X-Shop"] = "north" } }, input)
    end),
    workflow.define("Stop", function(name, kind, input)
      local handle = shop:start_operation(name, { cancellation_type = kind }, input)
      handle:cancel()
      local ok, err = pcall(handle.result, handle)
      return ok, tostring(err.cause and err.cause.kind), handle.operation_token
    end),
    workflow.define("Back", function(word)
      if word == "wait" then workflow.wait_condition(function() return false end) end
      return "back " .. word
    end),
  }
]]

describe("a native Nexus operation", function()
  local folder

  local function compile(name, twice)
    local code, _, errors = helper.run(("cc -std=c11 -Wall -Wextra -Werror -fPIC -shared -DTWICE=%d -Ihost/include "
      .. "-o %s/lib%s.so %s/shop.c"):format(twice and 1 or 0, folder, name, folder))
    assert.are.equal("", errors)
    assert.are.equal(0, code)
  end

  setup(function()
    folder = helper.folder().name
    local file <close> = assert(io.open(folder .. "/shop.c", "w"))
    file:write(module)
    file:close()
    compile("shop", false)
    compile("twice", true)
  end)

  teardown(function() os.execute("rm -r " .. folder) end)

  local function environment()
    local env = helper.environment(source, { activities = { native = { folder .. "/libshop.so" } } })
    env.client:create_nexus_endpoint("shop", { task_queue = env.task_queue })
    return env
  end

  local function failure_of(env, ...)
    local ok, err = pcall(env.execute_workflow, env, "Call", { id = "call" }, ...)
    assert.is_false(ok)
    return err.cause.cause
  end

  it("answers with what it puts", function()
    local env <close> = environment()
    assert.are.same({ a = { 1, 2 } }, env:execute_workflow("Call", {}, "echo", { a = { 1, 2 } }))
    assert.is_nil(env:execute_workflow("Call", {}, "echo"))
  end)

  it("knows its request", function()
    local env <close> = environment()
    assert.are.same({ "shop", "facts", "shop", "north", 1, 1, 1, false, true, 0 },
      env:execute_workflow("Call", {}, "facts"))
  end)

  it("is told of what it cannot ask for", function()
    local env <close> = environment()
    assert.are.same({ -1, -1, -1, -1, -1, -1, -1, -1, -1, 0 }, env:execute_workflow("Call", {}, "misuse"))
  end)

  it("fails, with a type and details, or is cancelled", function()
    local env <close> = environment()
    local err = failure_of(env, "fails")
    assert.are.equal("Declined", err.type)
    assert.are.equal("no money", err.message)
    assert.are.same({ "card" }, { table.unpack(err.details) })
    assert.are.equal("CancelledError", failure_of(env, "cancels").kind)
  end)

  it("refuses a request for good, or until it is made again", function()
    local env <close> = environment()
    local err = failure_of(env, "refuses")
    assert.are.equal("NexusHandlerError", err.kind)
    assert.are.equal("NOT_FOUND", err.handler_type)
    assert.are.equal("at last", env:execute_workflow("Call", {}, "tries"))
  end)

  it("goes on as a workflow, which its cancellation cancels", function()
    local env <close> = environment()
    assert.are.equal("back home", env:execute_workflow("Call", { id = "call" }, "backed", "home"))
    local started, event = helper.event(env.client:get_workflow_handle "back", "workflow_execution_started")
    assert.are.equal(3600, started.workflow_run_timeout)
    assert.are.equal("call", event.links[1].workflow_event.workflow_id)
    local _, operation = helper.event(env.client:get_workflow_handle "call", "nexus_operation_started")
    assert.are.equal("back", operation.links[1].workflow_event.workflow_id)
    local ok, kind, token = env:execute_workflow("Stop", {}, "backed", "wait_completed", "wait")
    assert.is_false(ok)
    assert.are.equal("CancelledError", kind)
    assert.are.equal("back", require "temporal.nexus".workflow_of_token(token).workflow_id)
  end)

  it("goes on under a token of its own, and hears of its cancellation", function()
    local env <close> = environment()
    local ok, kind, token = env:execute_workflow("Stop", {}, "goes_on", "wait_requested")
    assert.are.same({ false, "CancelledError", "token-7" }, { ok, kind, token })
    local _, refused = env:execute_workflow("Stop", {}, "own_token", "wait_requested")
    assert.are.equal("NexusHandlerError", refused)
  end)

  it("is registered once", function()
    local ok, err = pcall(helper.environment, source, { activities = { native = { folder .. "/libtwice.so" } } })
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find("operation 'echo' of service 'shop' is registered twice", 1, true), err)
  end)
end)
