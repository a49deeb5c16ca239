"""The official Python SDK against `temporal-lua server start-dev`, and a Lua worker against the same
server from Python. Prints TAP; every case is skipped when temporalio cannot be imported.

usage: python_check.py TEMPORAL_LUA_BINARY
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from datetime import datetime, timedelta, timezone

import suite

CASES = []

try:
    from temporalio import activity, workflow
    from temporalio.client import (
        BuildIdOpAddNewDefault,
        Client,
        WithStartWorkflowOperation,
        WorkflowExecutionStatus,
        WorkflowFailureError,
        WorkflowUpdateFailedError,
        WorkflowUpdateStage,
    )
    from temporalio.common import (
        RetryPolicy,
        SearchAttributeKey,
        SearchAttributePair,
        TypedSearchAttributes,
        VersioningBehavior,
        WorkerDeploymentVersion,
        WorkflowIDConflictPolicy,
    )
    from temporalio.exceptions import (
        ActivityError,
        ApplicationError,
        CancelledError,
        WorkflowAlreadyStartedError,
    )
    from temporalio.service import RPCError, RPCStatusCode
    from temporalio.testing import WorkflowEnvironment
    from temporalio.worker import Replayer, Worker, WorkerDeploymentConfig
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None

LUA_WORKER = """
local workflow = require "temporal.workflow"
return workflow.define("greet_in_lua", function(name)
  local word = "hello"
  workflow.set_signal_handler("word", function(given) word = given end)
  workflow.set_query_handler("word", function() return word end)
  workflow.wait_condition(function() return word ~= "hello" end)
  return workflow.execute_activity("join", { start_to_close_timeout = 10 }, word, name)
end)
"""

LUA_SUMS = """
local workflow = require "temporal.workflow"
return workflow.define("sums_in_lua", function(total)
  workflow.set_update_handler("add", {
    handler = function(x)
      workflow.sleep(0.01)
      total = total + x
      return total
    end,
    validator = function(x) if x < 0 then error("no negative numbers", 0) end end,
  })
  workflow.wait_condition(function() return total >= 100 and workflow.all_handlers_finished() end)
  return total
end)
"""

LUA_SCRIPT = """
local temporal = require "temporal"
return temporal.worker {
  task_queue = "lua-queue",
  workflows = { "greet", "sums" },
  activities = { join = function(a, b) return a .. ", " .. b end },
}
"""


def case(fn):
    CASES.append(fn)
    return fn


if not MISSING:
    attempts = {}
    heartbeats = []

    @activity.defn
    async def greet(name: str) -> str:
        return f"hello, {name}"

    @activity.defn
    async def fails_twice(key: str) -> int:
        attempts[key] = attempts.get(key, 0) + 1
        if attempts[key] < 3:
            raise ApplicationError("not yet", type="NotYet")
        return attempts[key]

    @activity.defn
    async def never_good() -> None:
        raise ApplicationError("no good", type="NoGood", non_retryable=True)

    @activity.defn
    async def waits_for_cancel() -> str:
        try:
            while True:
                activity.heartbeat("alive")
                await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            heartbeats.append("cancelled")
            raise

    @workflow.defn
    class Everything:
        def __init__(self) -> None:
            self.names = []
            self.closed = False

        @workflow.run
        async def run(self, first: str) -> list:
            self.names.append(first)
            await workflow.sleep(timedelta(milliseconds=50))
            await workflow.wait_condition(lambda: self.closed)
            return [
                await workflow.execute_activity(
                    greet, name, start_to_close_timeout=timedelta(seconds=10)
                )
                for name in self.names
            ]

        @workflow.signal
        def add(self, name: str) -> None:
            self.names.append(name)

        @workflow.signal
        def close(self) -> None:
            self.closed = True

        @workflow.query
        def count(self) -> int:
            return len(self.names)

    @workflow.defn
    class Retries:
        @workflow.run
        async def run(self, key: str) -> int:
            return await workflow.execute_activity(
                fails_twice,
                key,
                start_to_close_timeout=timedelta(seconds=10),
                retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=20)),
            )

    @workflow.defn
    class Fails:
        @workflow.run
        async def run(self) -> None:
            await workflow.execute_activity(
                never_good, start_to_close_timeout=timedelta(seconds=10)
            )

    @workflow.defn
    class CancelsActivity:
        @workflow.run
        async def run(self) -> None:
            await workflow.execute_activity(
                waits_for_cancel,
                start_to_close_timeout=timedelta(seconds=30),
                heartbeat_timeout=timedelta(seconds=2),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )

    @workflow.defn
    class CountsDown:
        @workflow.run
        async def run(self, n: int) -> str:
            if n > 0:
                workflow.continue_as_new(n - 1)
            return "zero"

    @workflow.defn
    class Local:
        @workflow.run
        async def run(self) -> str:
            patched = workflow.patched("one")
            said = await workflow.execute_local_activity(
                greet, "near", start_to_close_timeout=timedelta(seconds=5)
            )
            return f"{said} {patched}"

    @workflow.defn
    class Sums:
        def __init__(self) -> None:
            self.total = 0

        @workflow.run
        async def run(self, first: int) -> int:
            self.total += first
            await workflow.wait_condition(
                lambda: self.total >= 100 and workflow.all_handlers_finished()
            )
            return self.total

        @workflow.update
        async def add(self, x: int) -> int:
            await workflow.sleep(0.01)
            self.total += x
            return self.total

        @add.validator
        def check(self, x: int) -> None:
            if x < 0:
                raise ApplicationError("no negative numbers")

    class Waiting:
        """Waits for its end and tells on which version it is then."""

        def __init__(self) -> None:
            self.go = False

        async def wait(self) -> str:
            await workflow.wait_condition(lambda: self.go)
            return workflow.info().get_current_deployment_version().build_id

    @workflow.defn(versioning_behavior=VersioningBehavior.PINNED)
    class Pinned(Waiting):
        @workflow.run
        async def run(self) -> str:
            return await self.wait()

        @workflow.signal
        def end(self) -> None:
            self.go = True

        @workflow.query
        def here(self) -> bool:
            return True

    @workflow.defn(versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
    class Upgrades(Waiting):
        @workflow.run
        async def run(self) -> str:
            return await self.wait()

        @workflow.signal
        def end(self) -> None:
            self.go = True

        @workflow.query
        def here(self) -> bool:
            return True

    @workflow.defn
    class OfASet:
        def __init__(self) -> None:
            self.go = False

        @workflow.run
        async def run(self) -> str:
            await workflow.wait_condition(lambda: self.go)
            return workflow.info().get_current_build_id()

        @workflow.signal
        def end(self) -> None:
            self.go = True

        @workflow.query
        def here(self) -> bool:
            return True

    WORKFLOWS = [Everything, Retries, Fails, CancelsActivity, CountsDown, Local, Sums]
    ACTIVITIES = [greet, fails_twice, never_good, waits_for_cancel]


def new_id(name):
    return f"{name}-{uuid.uuid4()}"


@case
async def workflow_with_activity_signal_query_and_timer(e):
    handle = await e.client.start_workflow(
        Everything.run, "a", id=new_id("everything"), task_queue=e.queue
    )
    await handle.signal(Everything.add, "b")
    count = await handle.query(Everything.count)
    assert count == 2, count
    await handle.signal(Everything.close)
    result = await handle.result()
    # A signal that comes before the first workflow task runs before the main function.
    assert sorted(result) == ["hello, a", "hello, b"], result
    status = (await handle.describe()).status
    assert status == WorkflowExecutionStatus.COMPLETED, status


@case
async def activity_retries(e):
    result = await e.client.execute_workflow(
        Retries.run, "r", id=new_id("retries"), task_queue=e.queue
    )
    assert result == 3


@case
async def failures_keep_their_type(e):
    try:
        await e.client.execute_workflow(Fails.run, id=new_id("fails"), task_queue=e.queue)
    except WorkflowFailureError as error:
        assert isinstance(error.cause, ActivityError), error.cause
        assert error.cause.cause.type == "NoGood"
    else:
        raise AssertionError("it did not fail")


@case
async def cancellation_reaches_the_activity(e):
    handle = await e.client.start_workflow(
        CancelsActivity.run, id=new_id("cancel"), task_queue=e.queue
    )
    for _ in range(200):
        if (await handle.describe()).raw_description.pending_activities:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    await handle.cancel()
    try:
        await handle.result()
    except WorkflowFailureError as error:
        assert isinstance(error.cause, CancelledError), error.cause
    else:
        raise AssertionError("it was not cancelled")
    assert heartbeats == ["cancelled"]


@case
async def continue_as_new(e):
    assert "zero" == await e.client.execute_workflow(
        CountsDown.run, 3, id=new_id("countdown"), task_queue=e.queue
    )


@case
async def local_activities_and_patches(e):
    assert "hello, near True" == await e.client.execute_workflow(
        Local.run, id=new_id("local"), task_queue=e.queue
    )


@case
async def second_start_is_refused_with_its_run_id(e):
    name = new_id("twice")
    first = await e.client.start_workflow(Everything.run, "a", id=name, task_queue=e.queue)
    try:
        await e.client.start_workflow(
            Everything.run,
            "a",
            id=name,
            task_queue=e.queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
    except WorkflowAlreadyStartedError as error:
        assert error.run_id == first.first_execution_run_id
    else:
        raise AssertionError("it was started twice")
    await first.terminate("enough")


@case
async def unknown_workflow_is_not_found(e):
    try:
        await e.client.get_workflow_handle(new_id("never")).describe()
    except RPCError as error:
        assert error.status == RPCStatusCode.NOT_FOUND
    else:
        raise AssertionError("it was found")


@case
async def lists_and_counts(e):
    query = "WorkflowType = 'Retries'"
    for _ in range(100):
        found = [w.id async for w in e.client.list_workflows(query)]
        if found:
            break
        await asyncio.sleep(0.05)
    assert len(found) == 1, found
    assert (await e.client.count_workflows(query)).count == 1


@case
async def typed_search_attributes(e):
    keys = {
        "Who": SearchAttributeKey.for_keyword("Who"),
        "Note": SearchAttributeKey.for_text("Note"),
        "Count": SearchAttributeKey.for_int("Count"),
        "Price": SearchAttributeKey.for_float("Price"),
        "Paid": SearchAttributeKey.for_bool("Paid"),
        "Due": SearchAttributeKey.for_datetime("Due"),
        "Tags": SearchAttributeKey.for_keyword_list("Tags"),
    }
    due = datetime(2026, 11, 21, 10, 0, tzinfo=timezone.utc)
    values = {
        "Who": "ann",
        "Note": "two words",
        "Count": 3,
        "Price": 1.5,
        "Paid": True,
        "Due": due,
        "Tags": ["a", "b"],
    }
    await e.client.operator_service.add_search_attributes(
        e.operator.AddSearchAttributesRequest(
            namespace="default",
            search_attributes={name: key.indexed_value_type for name, key in keys.items()},
        )
    )
    id = new_id("attributes")
    pairs = [SearchAttributePair(key, values[name]) for name, key in keys.items()]
    handle = await e.client.start_workflow(
        "Nobody",
        id=id,
        task_queue=new_id("none"),
        search_attributes=TypedSearchAttributes(pairs),
    )
    described = (await handle.describe()).typed_search_attributes
    for name, key in keys.items():
        assert described[key] == values[name], (name, described[key])
    query = (
        "Who = 'ann' AND Note = 'words' AND Count > 2 AND Price < 2 AND Paid = true "
        "AND Due <= '2026-11-21T10:00:00Z' AND Tags IN ('b') AND NOT Count = 4"
    )
    found = [w async for w in e.client.list_workflows(query)]
    assert [w.id for w in found] == [id], found
    assert found[0].typed_search_attributes[keys["Due"]] == due
    await handle.terminate()
    try:
        await e.client.start_workflow(
            "Nobody",
            id=new_id("unknown"),
            task_queue="none",
            search_attributes=TypedSearchAttributes(
                [SearchAttributePair(SearchAttributeKey.for_int("Never"), 1)]
            ),
        )
    except RPCError as error:
        assert error.status == RPCStatusCode.INVALID_ARGUMENT
        assert "no mapping defined for search attribute Never" in error.message
    else:
        raise AssertionError("an unknown search attribute was accepted")


async def updates(e, run, add, queue):
    """An update at every stage, rejections, eight at once, the end, and update with start."""
    handle = await e.client.start_workflow(run, 1, id=new_id("sums"), task_queue=queue)
    assert await handle.execute_update(add, 2, result_type=int) == 3
    try:
        await handle.execute_update(add, -1)
    except WorkflowUpdateFailedError as error:
        assert "no negative numbers" in str(error.cause), error.cause
    else:
        raise AssertionError("the validator did not reject")
    update = await handle.start_update(
        add, 4, wait_for_stage=WorkflowUpdateStage.ACCEPTED, id="again", result_type=int
    )
    assert await update.result() == 7
    assert await handle.execute_update(add, 4, id="again", result_type=int) == 7
    await asyncio.gather(*[handle.execute_update(add, 1) for _ in range(8)])
    assert await handle.execute_update(add, 90, result_type=int) == 105
    assert await handle.result() == 105
    found = handle.get_update_handle("again", result_type=int)
    assert await found.result() == 7
    start = WithStartWorkflowOperation(
        run,
        1,
        id=new_id("sums"),
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
    )
    assert 100 == await e.client.execute_update_with_start_workflow(
        add, 99, start_workflow_operation=start, result_type=int
    )
    assert await (await start.workflow_handle()).result() == 100
    return handle


@case
async def updates_of_a_python_worker(e):
    handle = await updates(e, Sums.run, Sums.add, e.queue)
    await Replayer(workflows=WORKFLOWS).replay_workflow(await handle.fetch_history())


@case
async def updates_of_a_worker_without_a_cache(e):
    async with Worker(
        e.client,
        task_queue="uncached",
        workflows=WORKFLOWS,
        max_cached_workflows=0,
        max_concurrent_workflow_task_polls=1,
    ):
        await updates(e, Sums.run, Sums.add, "uncached")


@case
async def recorded_history_replays_in_python(e):
    handle = await e.client.start_workflow(
        Retries.run, "again", id=new_id("replayed"), task_queue=e.queue
    )
    await handle.result()
    await Replayer(workflows=WORKFLOWS).replay_workflow(await handle.fetch_history())


@case
async def health_and_namespace(e):
    assert await e.client.service_client.check_health()
    described = await e.client.workflow_service.describe_namespace(
        e.api.DescribeNamespaceRequest(namespace="extra")
    )
    assert described.namespace_info.name == "extra"
    listed = await e.client.workflow_service.list_namespaces(e.api.ListNamespacesRequest())
    assert {"default", "extra"} <= {n.namespace_info.name for n in listed.namespaces}


@case
async def large_payloads_cross(e):
    text = "x" * 1_000_000
    assert f"hello, {text}" == (
        await e.client.execute_workflow(
            Everything.run,
            text,
            id=new_id("large"),
            task_queue=e.queue,
            start_signal="close",
        )
    )[0]


@case
async def lua_worker_serves_a_python_client(e):
    with tempfile.TemporaryDirectory() as folder:
        scripts = {"greet.lua": LUA_WORKER, "sums.lua": LUA_SUMS, "worker.lua": LUA_SCRIPT}
        for name, text in scripts.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        process = await asyncio.create_subprocess_exec(
            e.binary,
            "worker",
            "run",
            "--address",
            e.address,
            os.path.join(folder, "worker.lua"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            handle = await e.client.start_workflow(
                "greet_in_lua", "world", id=new_id("lua"), task_queue="lua-queue"
            )
            assert await handle.query("word") == "hello"
            await handle.signal("word", "good morning")
            assert await handle.result() == "good morning, world"
            await updates(e, "sums_in_lua", "add", "lua-queue")
        finally:
            process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), 15)
        assert code == 0, code
    history = await handle.fetch_history()
    assert history.events


def versioned_worker(e, build_id):
    """A worker of version build_id of the deployment "py"."""
    return Worker(
        e.client,
        task_queue="versions",
        workflows=[Pinned, Upgrades],
        deployment_config=WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(deployment_name="py", build_id=build_id),
            use_worker_versioning=True,
        ),
    )


async def set_current(e, build_id):
    request = e.api.SetWorkerDeploymentCurrentVersionRequest(
        namespace="default", deployment_name="py", build_id=build_id, identity="check"
    )
    while True:  # until the version's polls have come
        try:
            return await e.client.workflow_service.set_worker_deployment_current_version(request)
        except RPCError as err:
            if err.status not in (RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION):
                raise
            await asyncio.sleep(0.05)


@case
async def versioned_workers_pin_and_upgrade(e):
    async def start(kind):
        handle = await e.client.start_workflow(kind, id=new_id(kind), task_queue="versions")
        assert await handle.query("here")
        return handle

    async with versioned_worker(e, "one"):
        await set_current(e, "one")
        pinned, upgrades = await start("Pinned"), await start("Upgrades")
        async with versioned_worker(e, "two"):
            await set_current(e, "two")
            newer = await start("Pinned")
            for handle in (pinned, upgrades, newer):
                await handle.signal("end")
            found = [await handle.result() for handle in (pinned, upgrades, newer)]
            assert found == ["one", "two", "two"], found
    described = await pinned.describe()
    info = described.raw_description.workflow_execution_info.versioning_info
    assert info.deployment_version.build_id == "one", info


async def worker_of_a_set(e, build_id):
    """On a connection of its own: the SDK wants one for each such worker of a task queue."""
    return Worker(
        await Client.connect(e.address),
        task_queue="sets",
        workflows=[OfASet],
        build_id=build_id,
        use_worker_versioning=True,
    )


@case
async def workers_of_sets_of_builds(e):
    async def start():
        handle = await e.client.start_workflow(OfASet.run, id=new_id("set"), task_queue="sets")
        assert await handle.query("here")
        return handle

    await e.client.update_worker_build_id_compatibility("sets", BuildIdOpAddNewDefault("1.0"))
    async with await worker_of_a_set(e, "1.0"):
        old = await start()
        await e.client.update_worker_build_id_compatibility("sets", BuildIdOpAddNewDefault("2.0"))
        async with await worker_of_a_set(e, "2.0"):
            new = await start()
            for handle in (old, new):
                await handle.signal("end")
            found = [await handle.result() for handle in (old, new)]
            assert found == ["1.0", "2.0"], found
    sets = await e.client.get_worker_build_id_compatibility("sets")
    assert [s.build_ids for s in sets.version_sets] == [["1.0"], ["2.0"]], sets


@case
async def sdk_starts_the_server_itself(e):
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=e.binary, dev_server_log_level="error"
    ) as local:
        async with Worker(local.client, task_queue="own", workflows=[CountsDown]):
            assert "zero" == await local.client.execute_workflow(
                CountsDown.run, 0, id=new_id("own"), task_queue="own"
            )


class Environment:
    """A server in a process of its own, a client of it, and the name of the task queue."""

    def __init__(self, binary, address, client, api, operator):
        self.binary, self.address, self.client, self.api = binary, address, client, api
        self.operator = operator
        self.queue = "python-queue"


async def run_cases(binary, address):
    from temporalio.api.operatorservice import v1 as operator
    from temporalio.api.workflowservice import v1 as api

    client = await Client.connect(address)
    e = Environment(binary, address, client, api, operator)
    async with Worker(client, task_queue=e.queue, workflows=WORKFLOWS, activities=ACTIVITIES):
        return await suite.run_each(CASES, lambda fn: fn(e), 30)


def main():
    print(f"1..{len(CASES) + 1}", flush=True)
    if MISSING:
        for i, name in enumerate([fn.__name__ for fn in CASES] + ["server stops cleanly"]):
            print(f"ok {i + 1} - {name} # SKIP {MISSING}")
        return 0
    with suite.running_server(sys.argv[1]) as (process, address):
        failed = asyncio.run(run_cases(sys.argv[1], address))
        process.send_signal(signal.SIGTERM)
        error = None
        try:
            code = process.wait(15)
            error = None if code == 0 else AssertionError(f"exit code {code}")
        except subprocess.TimeoutExpired as late:
            error = late
        suite.report(len(CASES) + 1, "server stops cleanly", error)
    return 1 if failed or error else 0


if __name__ == "__main__":
    sys.exit(main())
