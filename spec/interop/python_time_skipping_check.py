"""Time skipping of single workflows with the Python SDK's TimeSkipper: on our server and on the real one, and its test
environment on our server. TAP.

usage: python_time_skipping_check.py TEMPORAL_LUA_BINARY
"""

import sys
import time
import uuid
from datetime import timedelta

import suite

try:
    import python_nexus_check
    from temporalio import activity, workflow
    from temporalio.common import RetryPolicy
    from temporalio.exceptions import ApplicationError
    from temporalio.testing import TimeSkipper, TimeSkippingConfig, WorkflowEnvironment
    from temporalio.worker import Worker
except ImportError as missing:
    print(f"1..1\nok 1 - time skipping # SKIP {missing}")
    sys.exit(0)

DAY = timedelta(days=1)


@activity.defn
async def second_time_lucky() -> str:
    if activity.info().attempt == 1:
        raise ApplicationError("not yet")
    return "done"


@workflow.defn
class Sleeps:
    @workflow.run
    async def run(self, days: int) -> float:
        began = workflow.now()
        for _ in range(days):
            await workflow.sleep(DAY)
        return (workflow.now() - began).total_seconds()


@workflow.defn
class Retries:
    @workflow.run
    async def run(self) -> float:
        began = workflow.now()
        await workflow.execute_activity(
            second_time_lucky,
            start_to_close_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(hours=6)),
        )
        return (workflow.now() - began).total_seconds()


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> float:
        await workflow.sleep(DAY)
        return await workflow.execute_child_workflow(Sleeps.run, 2, id=workflow.info().workflow_id + "-child")


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, left: int) -> None:
        await workflow.sleep(timedelta(hours=1))
        if left > 0:
            workflow.continue_as_new(left - 1)


class Place:
    def __init__(self, binary, client):
        self.binary, self.client = binary, client
        self.queue = "skip-" + uuid.uuid4().hex[:8]

    async def start(self, client, fn, *args, name="w"):
        return await client.start_workflow(
            fn, args=args, id=f"{name}-{uuid.uuid4()}", task_queue=self.queue
        )

    async def ahead(self, skipper, handle):
        return (await skipper.get_current_time(handle)).timestamp() - time.time()


async def days_pass_at_once(p):
    skipper = TimeSkipper(p.client)
    handle = await p.start(skipper.client, Sleeps.run, 3)
    assert 3 * 86400 <= await handle.result() < 3 * 86400 + 60
    assert abs(await p.ahead(skipper, handle) - 3 * 86400) < 60
    info = await skipper.get_time_skipping_info(handle)
    assert info.effective_config.enabled and info.effective_config.max_session_skip_count > 0


async def back_offs_pass_at_once(p):
    skipper = TimeSkipper(p.client)
    handle = await p.start(skipper.client, Retries.run)
    assert 6 * 3600 <= await handle.result() < 7 * 3600


async def children_skip_too(p):
    skipper = TimeSkipper(p.client)
    handle = await p.start(skipper.client, Parent.run)
    assert 2 * 86400 <= await handle.result() < 2 * 86400 + 60
    child = p.client.get_workflow_handle(handle.id + "-child")
    assert abs(await p.ahead(skipper, child) - 3 * 86400) < 60
    assert abs(await p.ahead(skipper, handle) - 86400) < 60


async def a_fast_forward_is_awaited(p):
    skipper = TimeSkipper(p.client, config=TimeSkippingConfig(enabled=False))
    handle = await p.start(skipper.client, Sleeps.run, 2)
    assert await skipper.fast_forward(handle, timedelta(hours=30))
    assert abs(await p.ahead(skipper, handle) - 30 * 3600) < 60
    assert not (await skipper.get_time_skipping_info(handle)).effective_config.enabled
    assert not await skipper.fast_forward(handle)  # to the end
    assert await handle.result() >= 2 * 86400


async def a_fast_forward_follows_the_chain(p):
    skipper = TimeSkipper(p.client, config=TimeSkippingConfig(enabled=False))
    handle = await p.start(skipper.client, Chain.run, 3)
    handle = p.client.get_workflow_handle(handle.id)
    assert await skipper.fast_forward(handle, timedelta(minutes=150))
    assert abs(await p.ahead(skipper, handle) - 9000) < 60
    await handle.terminate()


async def the_end_comes_first(p):
    skipper = TimeSkipper(p.client, config=TimeSkippingConfig(enabled=False))
    handle = await p.start(skipper.client, Sleeps.run, 1)
    assert not await skipper.fast_forward(handle, timedelta(days=30))
    assert await handle.result() >= 86400


async def disabled_starts_do_not_skip(p):
    skipper = TimeSkipper(p.client)
    with skipper.with_time_skipping_disabled():
        handle = await p.start(skipper.client, Sleeps.run, 1)
    assert await skipper.get_time_skipping_info(handle) is None
    assert abs(await p.ahead(skipper, handle)) < 60
    await handle.terminate()


CASES = [
    days_pass_at_once,
    back_offs_pass_at_once,
    children_skip_too,
    a_fast_forward_is_awaited,
    a_fast_forward_follows_the_chain,
    the_end_comes_first,
    disabled_starts_do_not_skip,
]


async def the_test_environment(binary):
    """Not on the real server: the SDK starts the server of this binary by itself."""
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=binary,
        dev_server_log_level="error",
        dev_server_extra_args=["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"],
    ) as env:
        assert env.supports_time_skipping_v2
        async with Worker(env.client, task_queue="own", workflows=[Sleeps]):
            handle = await env.client.start_workflow(Sleeps.run, 2, id="own", task_queue="own")
            assert await handle.result() >= 2 * 86400
            assert (await env.get_current_time(handle)).timestamp() - time.time() > 86400


async def run(binary, address, folder, first, where):
    p = Place(binary, await python_nexus_check.connect(address))
    if not where:
        await the_test_environment(binary)
    async with Worker(
        p.client, task_queue=p.queue, workflows=[Sleeps, Retries, Parent, Chain], activities=[second_time_lucky]
    ):
        return await suite.run_each(CASES, lambda fn: fn(p), 60, first, where)


if __name__ == "__main__":
    sys.exit(suite.run_on_both(CASES, None, run))
