"""The pages of metrics that a Python worker and a Lua worker serve after the same work, compared by name, kind
and labels.
Prints TAP; every case is skipped when temporalio cannot be imported.

usage: python_metrics_check.py TEMPORAL_LUA_BINARY
"""

import asyncio
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from datetime import timedelta

import servers
import suite

try:
    from temporalio import activity, workflow
    from temporalio.client import Client, WorkflowFailureError
    from temporalio.common import RetryPolicy
    from temporalio.exceptions import ApplicationError
    from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None

QUEUE = "metrics"

# What one side alone has, with the reason.
ONLY_OURS = {}
ONLY_THEIRS = {
    "temporal_workflow_task_replay_latency": "tells 0 ms for tasks that replay nothing",
}

LUA_WORKER = """
local temporal = require "temporal"
local workflow = require "temporal.workflow"
local once = { start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } }
local source = [[
  local workflow = require "temporal.workflow"
  local temporal = require "temporal"
  local once = { start_to_close_timeout = 10, retry_policy = { maximum_attempts = 1 } }
  return {
    workflow.define("good", function()
      workflow.execute_local_activity("double", once, 2)
      return workflow.execute_activity("double", once, 3)
    end),
    workflow.define("bad", function()
      pcall(workflow.execute_local_activity, "fails", once)
      pcall(workflow.execute_activity, "fails", once)
      error(temporal.failure { message = "no", type = "Bad" })
    end),
    workflow.define("again", function(more)
      if more then workflow.continue_as_new(nil, false) end
    end),
    workflow.define("waits", function() workflow.sleep("1h") end),
  }
]]
return temporal.worker {
  task_queue = "metrics", workflows = { { name = "metrics", source = source } },
  activities = {
    double = function(n) return 2 * n end,
    fails = function() error(temporal.failure { message = "no", type = "Declined" }) end,
  },
}
"""

if MISSING is None:
    ONCE = {
        "start_to_close_timeout": timedelta(seconds=10),
        "retry_policy": RetryPolicy(maximum_attempts=1),
    }

    @activity.defn
    async def double(n: int) -> int:
        return 2 * n

    @activity.defn
    async def fails() -> None:
        raise ApplicationError("no", type="Declined")

    @workflow.defn(name="good", sandboxed=False)
    class Good:
        @workflow.run
        async def run(self) -> int:
            await workflow.execute_local_activity(double, 2, **ONCE)
            return await workflow.execute_activity(double, 3, **ONCE)

    @workflow.defn(name="bad", sandboxed=False)
    class Bad:
        @workflow.run
        async def run(self) -> None:
            for call in (workflow.execute_local_activity, workflow.execute_activity):
                try:
                    await call(fails, **ONCE)
                except Exception:
                    pass
            raise ApplicationError("no", type="Bad")

    @workflow.defn(name="again", sandboxed=False)
    class Again:
        @workflow.run
        async def run(self, more: bool) -> None:
            if more:
                workflow.continue_as_new(False)

    @workflow.defn(name="waits", sandboxed=False)
    class Waits:
        @workflow.run
        async def run(self) -> None:
            await asyncio.sleep(3600)


async def work(client):
    """What both workers are given to do."""

    async def run(name, *args):
        handle = await client.start_workflow(name, args=args, id=uuid.uuid4().hex, task_queue=QUEUE)
        if name == "waits":
            await asyncio.sleep(0.5)
            await handle.cancel()
        try:
            await handle.result()
        except WorkflowFailureError:
            assert name in ("bad", "waits"), name

    await run("good")
    await run("bad")
    await run("again", True)
    await run("waits")
    await asyncio.sleep(1)  # a worker counts when it was answered, after the client has heard


def scrape(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        return page.read().decode()


def shape(page):
    """name -> (kind, set of sorted label names), of what belongs to the worker."""
    kinds, found = {}, {}
    for line in page.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            kinds[name] = kind
        elif not line.startswith("#"):
            name, labels = re.match(r"([\w:]+)(?:\{(.*)\})? \S+$", line).groups()
            name = re.sub(r"_(bucket|sum|count)$", "", name) if name not in kinds else name
            names = sorted(set(re.findall(r'(\w+)="', labels or "")) - {"le"})
            found.setdefault(name, (kinds[name], set()))[1].add(tuple(names))
    return found


def requests_of_workers(page):
    """operation and label names of calls that a worker makes; clients of the two sides call differently."""
    wanted = {"PollWorkflowTaskQueue", "PollActivityTaskQueue", "RespondWorkflowTaskCompleted",
              "RespondActivityTaskCompleted", "RespondActivityTaskFailed"}
    out = set()
    for name, labels in re.findall(r"^(temporal_(?:long_)?request)\{(.*)\} ", page, re.M):
        operation = re.search(r'operation="(\w+)"', labels).group(1)
        if operation in wanted:
            out.add((name, operation, tuple(sorted(re.findall(r'(\w+)="', labels)))))
    return out


async def python_page(address):
    port = servers.free_port()
    runtime = Runtime(
        telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=f"127.0.0.1:{port}"))
    )
    client = await Client.connect(address, runtime=runtime)
    async with Worker(
        client, task_queue=QUEUE, workflows=[Good, Bad, Again, Waits], activities=[double, fails],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        await work(client)
        return scrape(f"127.0.0.1:{port}")


async def lua_page(binary, address):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA_WORKER)
        script.flush()
        process = subprocess.Popen(
            [binary, "worker", "run", "--address", address, "--metrics-address", "127.0.0.1:0", script.name],
            stdout=subprocess.PIPE, text=True,
        )
        try:
            where = re.match(r"Metrics: http://(\S+)/metrics", process.stdout.readline()).group(1)
            assert "is running" in process.stdout.readline()
            await work(await Client.connect(address))
            return scrape(where)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            process.stdout.close()


def differences(ours, theirs):
    """Lines that say what one side has and the other has not."""
    out = []
    for name in sorted(theirs.keys() - ours.keys() - ONLY_THEIRS.keys()):
        out.append(f"only the Python worker has {name} {theirs[name]}")
    for name in sorted(ours.keys() - theirs.keys() - ONLY_OURS.keys()):
        out.append(f"only the Lua worker has {name} {ours[name]}")
    for name in sorted(ours.keys() & theirs.keys()):
        if "request" not in name and ours[name] != theirs[name]:
            out.append(f"{name}: {ours[name]} here, {theirs[name]} there")
    return out


async def compare(pages):
    ours, theirs = shape(pages["lua"]), shape(pages["python"])
    missing = ONLY_OURS.keys() - ours.keys() | ONLY_THEIRS.keys() - theirs.keys()
    found = differences(ours, theirs)
    assert not found, "\n".join(found)
    assert not missing, f"the reasons name {missing}, which nobody has"


async def workers_call_alike(pages):
    ours, theirs = requests_of_workers(pages["lua"]), requests_of_workers(pages["python"])
    assert ours == theirs, f"ours alone: {sorted(ours - theirs)}, theirs alone: {sorted(theirs - ours)}"
    assert ours, "no calls"


async def counts_are_equal(pages):
    """Of what the work settles: ends of workflows, activities and their failures."""

    def counts(page):
        wanted = r"^(temporal_(?:workflow_(?:completed|failed|canceled|continue_as_new)|activity_execution_failed"
        wanted += r"|local_activity_execution_failed|local_activity_total|activity_execution_latency_count"
        wanted += r"|activity_succeed_endtoend_latency_count|workflow_endtoend_latency_count|worker_start))\{(.*)\} (\S+)$"
        return {
            (name, tuple(sorted(re.findall(r'((?:workflow|activity)_type)="(\w+)"', labels)))): float(value)
            for name, labels, value in re.findall(wanted, page, re.M)
        }

    ours, theirs = counts(pages["lua"]), counts(pages["python"])
    assert ours == theirs, f"ours: {sorted(ours.items() - theirs.items())}, theirs: {sorted(theirs.items() - ours.items())}"


CASES = [compare, workers_call_alike, counts_are_equal]


async def run_cases(binary, address, _folder):
    pages = {"python": await python_page(address), "lua": await lua_page(binary, address)}
    return await suite.run_each(CASES, lambda fn: fn(pages))


def main():
    return suite.run_on_ours(CASES, MISSING, run_cases)


if __name__ == "__main__":
    sys.exit(main())
