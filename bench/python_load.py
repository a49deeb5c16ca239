"""The official Python SDK as client and worker against a server, as many workflows at once as asked for. Prints one
JSON object.

usage: python_load.py ADDRESS [--in-flight N] [--seconds S] [--activities N]
       python_load.py ADDRESS --worker QUEUE     the worker alone, until it is told to stop
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker


@activity.defn
async def same(n: int) -> int:
    return n


@workflow.defn(name="steps")
class Steps:
    @workflow.run
    async def run(self, n: int) -> int:
        total = 0
        for i in range(1, n + 1):
            total += await workflow.execute_activity(
                same, i, start_to_close_timeout=timedelta(seconds=10)
            )
        return total


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(client, queue, options):
    latencies = []
    end = time.monotonic() + options.seconds

    async def slot(number):
        i = 0
        while time.monotonic() < end:
            began = time.monotonic()
            total = await client.execute_workflow(
                Steps.run, options.activities, id=f"{queue}-{number}-{i}", task_queue=queue
            )
            assert total == options.activities * (options.activities + 1) // 2, total
            latencies.append((time.monotonic() - began) * 1000)
            i += 1

    began, cpu = time.monotonic(), cpu_seconds()
    await asyncio.gather(*(slot(i) for i in range(options.in_flight)))
    seconds = time.monotonic() - began
    latencies.sort()
    return {
        "per_second": len(latencies) / seconds,
        "completed": len(latencies),
        "failed": 0,
        "seconds": seconds,
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[len(latencies) * 99 // 100],
        "cpu_us_each": (cpu_seconds() - cpu) * 1e6 / len(latencies),
    }


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--activities", type=int, default=1)
    parser.add_argument("--worker")
    options = parser.parse_args()
    client = await Client.connect(options.address)
    queue = options.worker or f"python-load-{os.getpid()}"
    runner = UnsandboxedWorkflowRunner()  # the faster of its two ways
    async with Worker(client, task_queue=queue, workflows=[Steps], activities=[same], workflow_runner=runner):
        if options.worker:
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            await stop.wait()
            return
        await client.execute_workflow(Steps.run, options.activities, id=f"{queue}-first", task_queue=queue)
        print(json.dumps(await measure(client, queue, options)))


asyncio.run(main())
