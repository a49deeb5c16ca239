"""Activities without a workflow between the Python SDK and Lua: clients and workers of both, on this server and on
the real one (TEMPORAL_REAL_SERVER). Whoever starts what on whose worker is told the same. Prints TAP; every case is
skipped when temporalio cannot be imported or is too old, those on the real server when there is none.

usage: python_activities_check.py TEMPORAL_LUA_BINARY
"""

import asyncio
import os
import sys
import uuid
from datetime import timedelta

import suite

CASES = []

try:
    import python_nexus_check
    from temporalio import activity
    from temporalio.client import ActivityExecutionStatus, ActivityFailureError, Client
    from temporalio.common import (
        ActivityIDConflictPolicy,
        ActivityIDReusePolicy,
        RetryPolicy,
    )
    from temporalio.exceptions import (
        ActivityAlreadyStartedError,
        ApplicationError,
        CancelledError,
        TerminatedError,
        TimeoutError as TemporalTimeout,
    )
    from temporalio.service import RPCError, RPCStatusCode
    from temporalio.worker import Worker
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None if hasattr(Client, "start_activity") else "temporalio is too old"

QUEUE, LUA_QUEUE = "python-activities", "lua-activities"
QUEUES = (QUEUE, LUA_QUEUE)

LUA_SERVE = """
local activity = require "temporal.activity"
local temporal = require "temporal"
return temporal.worker {
  task_queue = os.getenv "SPEC_QUEUE",
  activities = {
    about = function(name)
      local info = activity.info()
      return { name = name, id = info.activity_id, run_id = info.activity_run_id, in_workflow = info.in_workflow,
        attempt = info.attempt, type = info.activity_type }
    end,
    flaky = function()
      if activity.info().attempt < 3 then error("not yet", 0) end
      return "after 3"
    end,
    broken = function()
      error(temporal.failure { type = "Broken", message = "it broke", details = { 5 }, non_retryable = true }, 0)
    end,
    endless = function()
      while true do activity.heartbeat "half" activity.sleep(0.05) end
    end,
  },
}
"""

# What a Lua client is told of activities of the worker of this queue.
LUA_CLIENT = """
local temporal = require "temporal"
local queue, prefix = os.getenv "SPEC_QUEUE", os.getenv "SPEC_PREFIX"
local client <close> = temporal.connect { address = os.getenv "TEMPORAL_ADDRESS" }
local function options(more)
  local o = { task_queue = queue, start_to_close_timeout = 30 }
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end
local about = client:execute_activity("about", options { id = prefix .. "about" }, "Ada")
print(about.name, about.id == prefix .. "about", about.in_workflow, about.attempt, about.type)
local ok, err = pcall(client.execute_activity, client, "broken", options { id = prefix .. "broken" })
print(err.type, err.cause.type, err.cause.message, err.cause.details[1])
local _, again = pcall(client.start_activity, client, "about",
  options { id = prefix .. "about", id_reuse_policy = "reject_duplicate" }, "Ada")
print(again.type, again.status)
local handle = client:start_activity("endless", options { id = prefix .. "endless", heartbeat_timeout = 1 })
repeat
  local d = handle:describe { include_heartbeat_details = true }
  if d.run_state ~= "started" or not d.heartbeat_details then client:call("GetSystemInfo", {}) end
until d.heartbeat_details
handle:cancel "enough"
ok, err = pcall(handle.result, handle)
local d = handle:describe { include_outcome = true, include_heartbeat_details = true }
print(err.cause.kind, d.status, d.canceled_reason, d.heartbeat_details[1], d.outcome.failure.kind)
local late = client:start_activity("about", options { id = prefix .. "late", start_delay = "1h" }, "x")
print(late:describe().run_state)
late:terminate "over"
ok, err = pcall(late.result, late)
print(err.cause.kind, err.cause.message, late:describe().status)
"""

LUA_TOLD = """Ada	true	false	1	about
ActivityFailureError	Broken	it broke	5
ActivityAlreadyStartedError	ALREADY_EXISTS
CancelledError	canceled	enough	half	CancelledError
scheduled
TerminatedError	over	terminated
"""


def case(fn):
    CASES.append(fn)
    return fn


if not MISSING:

    @activity.defn(name="about")
    async def about(name: str) -> dict:
        info = activity.info()
        return {
            "name": name,
            "id": info.activity_id,
            "run_id": info.activity_run_id,
            "in_workflow": info.in_workflow,
            "attempt": info.attempt,
            "type": info.activity_type,
        }

    @activity.defn(name="flaky")
    async def flaky() -> str:
        if activity.info().attempt < 3:
            raise RuntimeError("not yet")
        return "after 3"

    @activity.defn(name="broken")
    async def broken() -> None:
        raise ApplicationError("it broke", 5, type="Broken", non_retryable=True)

    @activity.defn(name="endless")
    async def endless() -> None:
        while True:
            activity.heartbeat("half")
            await asyncio.sleep(0.05)


def options(queue, **more):
    given = {
        "id": str(uuid.uuid4()),
        "task_queue": queue,
        "start_to_close_timeout": timedelta(seconds=30),
        "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=10)),
    }
    return {**given, **more}


async def raised(kind, awaitable):
    try:
        await awaitable
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


@case
async def python_starts_what_either_runs(client, context):
    for queue in QUEUES:
        handle = await client.start_activity("about", "Ada", **options(queue))
        told = await handle.result()
        assert told["name"] == "Ada" and told["type"] == "about", told
        assert told["id"] == handle.id and told["run_id"] == handle.run_id, told
        assert told["in_workflow"] is False and told["attempt"] == 1, told
        assert await client.execute_activity("flaky", **options(queue)) == "after 3"


@case
async def failures_and_timeouts_have_their_cause(client, context):
    for queue in QUEUES:
        handle = await client.start_activity("broken", **options(queue))
        error = await raised(ActivityFailureError, handle.result())
        assert isinstance(error.cause, ApplicationError), error.cause
        assert error.cause.type == "Broken" and error.cause.details[0] == 5
        told = await handle.describe(include_last_failure=True)
        assert told.status == ActivityExecutionStatus.FAILED, told.status
        assert told.attempt == 1, told.attempt
        assert str(await told.last_failure()) == "Broken: it broke"
    nobody = options("nobody", schedule_to_start_timeout=timedelta(milliseconds=50))
    error = await raised(ActivityFailureError, client.execute_activity("about", "x", **nobody))
    assert isinstance(error.cause, TemporalTimeout), error.cause


@case
async def cancellation_reaches_the_worker(client, context):
    for queue in QUEUES:
        beating = options(queue, heartbeat_timeout=timedelta(seconds=1))
        handle = await client.start_activity("endless", **beating)
        while not (await handle.describe(include_heartbeat_details=True)).has_heartbeat_details():
            await asyncio.sleep(0.05)
        await handle.cancel(reason="enough")
        error = await raised(ActivityFailureError, handle.result())
        assert isinstance(error.cause, CancelledError), error.cause
        told = await handle.describe()
        assert told.status == ActivityExecutionStatus.CANCELED, told.status
        assert told.canceled_reason == "enough" and told.total_heartbeat_count >= 1


@case
async def one_without_a_worker_ends_at_once(client, context):
    handle = await client.start_activity("about", "x", **options("nobody"))
    await handle.cancel(reason="enough")
    error = await raised(ActivityFailureError, handle.result())
    assert isinstance(error.cause, CancelledError), error.cause
    error = await raised(RPCError, handle.cancel())
    assert error.status == RPCStatusCode.FAILED_PRECONDITION, error
    handle = await client.start_activity("about", "x", **options("nobody"))
    await handle.terminate(reason="over")
    error = await raised(ActivityFailureError, handle.result())
    assert isinstance(error.cause, TerminatedError) and str(error.cause) == "over"


@case
async def ids_are_kept_apart(client, context):
    taken = options("nobody")
    first = await client.start_activity("about", "x", **taken)
    error = await raised(
        ActivityAlreadyStartedError, client.start_activity("about", "x", **taken)
    )
    assert error.run_id == first.run_id, error.run_id
    same = await client.start_activity(
        "about", "x", **taken, id_conflict_policy=ActivityIDConflictPolicy.USE_EXISTING
    )
    assert same.run_id == first.run_id
    await first.cancel()
    await raised(
        ActivityAlreadyStartedError,
        client.start_activity(
            "about", "x", **taken, id_reuse_policy=ActivityIDReusePolicy.REJECT_DUPLICATE
        ),
    )
    policy = ActivityIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
    second = await client.start_activity("about", "x", **taken, id_reuse_policy=policy)
    assert second.run_id != first.run_id
    await second.terminate()


@case
async def lists_and_counts_find_them(client, context):
    name = f"about-{uuid.uuid4()}"
    for i in range(3):
        await client.execute_activity("about", "x", **options(QUEUE, id=f"{name}-{i}"))
    waiting = await client.start_activity("about", "x", **options("nobody", id=f"{name}-3"))
    query = f"ActivityId STARTS_WITH '{name}'"
    for _ in range(100):
        found = [a async for a in client.list_activities(query, page_size=2)]
        done = [a for a in found if a.status == ActivityExecutionStatus.COMPLETED]
        if len(found) == 4 and len(done) == 3:
            break
        await asyncio.sleep(0.1)
    assert len(found) == 4 and len(done) == 3, found
    assert {a.activity_type for a in found} == {"about"}
    assert all(a.close_time and a.execution_duration is not None for a in done)
    assert (await client.count_activities(query)).count == 4
    groups = (await client.count_activities(f"{query} GROUP BY ExecutionStatus")).groups
    assert {g.group_values[0]: g.count for g in groups} == {"Completed": 3, "Running": 1}
    await waiting.terminate()


@case
async def a_lua_client_is_told_the_same(client, context):
    with open(os.path.join(context["folder"], "client.lua"), "w", encoding="utf-8") as file:
        file.write(LUA_CLIENT)
    build = os.path.dirname(os.path.abspath(context["binary"]))
    source = os.path.join(os.path.dirname(build), "lua")
    for queue in QUEUES:
        process = await asyncio.create_subprocess_exec(
            "lua5.4",
            os.path.join(context["folder"], "client.lua"),
            stdout=asyncio.subprocess.PIPE,
            env=dict(
                os.environ,
                TEMPORAL_ADDRESS=context["address"],
                SPEC_QUEUE=queue,
                SPEC_PREFIX=f"{uuid.uuid4()}-",
                LUA_PATH=f"{source}/?.lua;{source}/?/init.lua;;",
                LUA_CPATH=f"{build}/?.so;;",
            ),
        )
        told = (await process.communicate())[0].decode()
        assert told == LUA_TOLD, (queue, told)


async def run_cases(binary, address, folder, first, where):
    client = await python_nexus_check.connect(address)
    context = {"binary": binary, "address": address, "folder": folder}
    async with suite.lua_worker(binary, address, folder, LUA_SERVE, LUA_QUEUE):
        activities = [about, flaky, broken, endless]
        async with Worker(client, task_queue=QUEUE, activities=activities):
            return await suite.run_each(
                CASES, lambda fn: fn(client, context), 60, first, where
            )


def main():
    return suite.run_on_both(CASES, MISSING, run_cases)


if __name__ == "__main__":
    sys.exit(main())
