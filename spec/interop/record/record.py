"""Records the fixtures of the Python SDK: python3 record.py ADDRESS FOLDER, against
`temporal-lua server start-dev --search-attribute Note=Keyword`. The Lua workflows that must replay them are in
spec/fixtures/histories/workflows.lua; workflows.js has the same for TypeScript."""
import asyncio
import json
import pathlib
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, SearchAttributeKey
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.worker import Worker, UnsandboxedWorkflowRunner

NOTE = SearchAttributeKey.for_keyword("Note")
OPTIONS = dict(start_to_close_timeout=timedelta(seconds=10),
               retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=3))
LOCAL = dict(start_to_close_timeout=timedelta(seconds=10), retry_policy=RetryPolicy(maximum_attempts=1))
calls = 0


@activity.defn
async def echo(value):
    return value


@activity.defn
async def unstable():
    global calls
    calls += 1
    if calls % 2:
        raise RuntimeError("not yet")
    return calls


@activity.defn
async def decline():
    raise ApplicationError("no", type="No", non_retryable=True)


@activity.defn
async def sleepy():
    while True:
        activity.heartbeat()
        await asyncio.sleep(0.05)


@workflow.defn(name="Primitives")
class Primitives:
    def __init__(self):
        self.approved = False

    @workflow.signal
    def go(self):
        self.approved = True

    @workflow.query
    def total(self):
        return 1

    @workflow.run
    async def run(self, name):
        workflow.upsert_search_attributes([NOTE.value_set(name)])
        first = workflow.start_activity(echo, "a", **OPTIONS)
        second = workflow.start_activity(echo, "b", **OPTIONS)
        await asyncio.gather(first, second)
        await workflow.execute_activity(unstable, **OPTIONS)
        try:
            await workflow.execute_activity(decline, **OPTIONS)
        except Exception:
            pass
        if workflow.patched("new"):
            await asyncio.sleep(0.02)
        workflow.deprecate_patch("old")
        await workflow.execute_local_activity(echo, "x", **LOCAL)
        try:
            await workflow.execute_local_activity(decline, **LOCAL)
        except Exception:
            pass
        workflow.upsert_memo({"stage": "waiting"})
        await workflow.wait_condition(lambda: self.approved, timeout=timedelta(hours=1))
        timer = asyncio.create_task(asyncio.sleep(0.05))
        await asyncio.sleep(0)  # the task starts: its timer comes first, as in the others
        last = workflow.start_activity(echo, "c", **OPTIONS)
        await timer
        return await last


@workflow.defn(name="Child")
class Child:
    def __init__(self):
        self.got = None

    @workflow.signal
    def go(self, value):
        self.got = value

    @workflow.run
    async def run(self, text):
        await workflow.wait_condition(lambda: self.got is not None)
        return text + self.got


@workflow.defn(name="Parent")
class Parent:
    @workflow.run
    async def run(self):
        name = workflow.info().workflow_id
        child = await workflow.start_child_workflow("Child", "hello ", id=name + "-child")
        await child.signal("go", "world")
        await child
        other = await workflow.start_child_workflow("Child", "", id=name + "-other")
        other.cancel()
        try:
            await other
        except Exception as err:
            assert is_cancelled_exception(err)
        try:
            await workflow.get_external_workflow_handle("nobody").signal("go", 1)
        except ApplicationError:
            pass
        await workflow.get_external_workflow_handle(name + "-target").signal("go", "you")
        return "done"


@workflow.defn(name="Chain")
class Chain:
    @workflow.run
    async def run(self, n):
        await asyncio.sleep(0.01)
        if n > 0:
            workflow.continue_as_new(n - 1)
        return n


@workflow.defn(name="Cancelled")
class Cancelled:
    @workflow.run
    async def run(self):
        sleeping = workflow.start_activity(
            sleepy, start_to_close_timeout=timedelta(minutes=1), heartbeat_timeout=timedelta(seconds=1),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED)
        timer = asyncio.create_task(asyncio.sleep(3600))
        try:
            await asyncio.gather(sleeping, timer)
        finally:
            await workflow.execute_activity(echo, "clean up", **OPTIONS)


@workflow.defn(name="Failed")
class Failed:
    @workflow.run
    async def run(self):
        await asyncio.sleep(0.01)
        raise ApplicationError("no funds", 1, 2, type="Bad", non_retryable=True)


@workflow.defn(name="Updated")
class Updated:
    def __init__(self):
        self.sum = 0
        self.finished = False

    @workflow.update
    async def add(self, n):
        await workflow.execute_activity(echo, n, **OPTIONS)
        self.sum += n
        return self.sum

    @add.validator
    def validate_add(self, n):
        if n < 0:
            raise ValueError("too small")

    @workflow.signal
    def go(self):
        self.finished = True

    @workflow.run
    async def run(self):
        await workflow.wait_condition(lambda: self.finished and workflow.all_handlers_finished())
        return self.sum


def scrub(value):
    """Nothing of the machine that recorded it."""
    if isinstance(value, dict):
        return {k: "recorder" if k in ("identity", "stackTrace") else scrub(v) for k, v in value.items()}
    if isinstance(value, list):
        return [scrub(v) for v in value]
    return "sticky" if isinstance(value, str) and "@" in value else value


async def main(address, folder):
    client = await Client.connect(address)

    async def start(kind, *args, **options):
        options.setdefault("id", kind.lower())
        return await client.start_workflow(kind, args=args, task_queue="record", **options)

    async def keep(handle, name, run_id=None):
        history = await client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        text = json.dumps(scrub(json.loads(history.to_json())), indent=1)
        (pathlib.Path(folder) / (name + ".json")).write_text(text + "\n")

    async def ended(handle):
        try:
            await handle.result()
        except Exception:
            pass

    async with Worker(client, task_queue="record", activities=[echo, unstable, decline, sleepy],
                      workflows=[Primitives, Child, Parent, Chain, Cancelled, Failed, Updated],
                      workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await start("Primitives", "ann")
        await asyncio.sleep(4)
        await handle.signal("go")
        await ended(handle)
        await keep(handle, "primitives")
        target = await start("Child", "to ", id="parent-target")
        handle = await start("Parent")
        await ended(handle)
        await ended(target)
        await keep(handle, "parent")
        await keep(target, "child")
        handle = await start("Chain", 1)
        await ended(handle)
        await keep(handle, "chain_first", handle.first_execution_run_id)
        handle = await start("Cancelled")
        await asyncio.sleep(0.5)
        await handle.cancel()
        await ended(handle)
        await keep(handle, "cancelled")
        handle = await start("Failed")
        await ended(handle)
        await keep(handle, "failed")
        handle = await start("Updated")
        await handle.execute_update("add", 2)
        try:
            await handle.execute_update("add", -2)
        except Exception:
            pass
        await handle.execute_update("add", 3)
        await handle.signal("go")
        await ended(handle)
        await keep(handle, "updated")


asyncio.run(main(sys.argv[1], sys.argv[2]))
