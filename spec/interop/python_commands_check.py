"""Commands to workers: an activity of the Python SDK's worker that never heartbeats hears at once that its workflow has
cancelled it, or has ended, from this server as from the real one (TEMPORAL_REAL_SERVER). Prints TAP; every case is
skipped when temporalio cannot be imported or knows no such commands, those on the real server when there is none.

usage: python_commands_check.py TEMPORAL_LUA_BINARY
"""

import asyncio
import uuid
from datetime import timedelta

import suite

CASES = []

try:
    import python_nexus_check
    import temporalio.api.worker.v1 as worker_api
    from temporalio import activity, workflow
    from temporalio.client import WorkflowFailureError
    from temporalio.exceptions import CancelledError
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None if hasattr(worker_api, "CancelActivityCommand") else "temporalio is too old"

QUEUE = "python-commands"
# Nothing else ends the activity before a minute is over.
SOON = 10

running, told = {}, {}


def case(fn):
    CASES.append(fn)
    return fn


if not MISSING:

    @activity.defn
    async def deaf(name: str) -> None:
        running[name].set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told[name].set()
            raise

    @workflow.defn
    class Holds:
        @workflow.run
        async def run(self, name: str) -> None:
            await workflow.execute_activity(
                deaf,
                name,
                start_to_close_timeout=timedelta(minutes=5),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            )


async def hold(client):
    name = uuid.uuid4().hex
    running[name], told[name] = asyncio.Event(), asyncio.Event()
    handle = await client.start_workflow("Holds", name, id=name, task_queue=QUEUE)
    await asyncio.wait_for(running[name].wait(), 30)
    return handle, told[name]


@case
async def an_activity_hears_that_it_is_cancelled(client):
    handle, heard = await hold(client)
    await handle.cancel()
    await asyncio.wait_for(heard.wait(), SOON)
    try:
        await handle.result()
    except WorkflowFailureError as failure:
        assert isinstance(failure.cause, CancelledError), failure.cause
    else:
        raise AssertionError("the workflow did not end cancelled")


@case
async def an_activity_hears_that_its_workflow_was_terminated(client):
    handle, heard = await hold(client)
    await handle.terminate("enough")
    await asyncio.wait_for(heard.wait(), SOON)


async def run(_, address, __, first, where):
    client = await python_nexus_check.connect(address)
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[Holds],
        activities=[deaf],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        return await suite.run_each(CASES, lambda fn: fn(client), 60, first, where)


if __name__ == "__main__":
    raise SystemExit(suite.run_on_both(CASES, MISSING, run))
