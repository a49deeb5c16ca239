"""What the checks that use the Python SDK share: servers to run on, a Lua worker, cases reported as TAP."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile

import servers


@contextlib.contextmanager
def running_server(binary):
    process = subprocess.Popen(
        [
            *[binary, "server", "start-dev", "--port", "0", "--namespace", "extra", "--headless"],
            *["--dynamic-config-value", "frontend.workerVersioningDataAPIs=true"],
            *["--dynamic-config-value", "frontend.workerVersioningWorkflowAPIs=true"],
            *["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"],
            *["--dynamic-config-value", "frontend.WorkerCommandsEnabled=true"],
            *["--dynamic-config-value", "system.enableCancelActivityWorkerCommand=true"],
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        words = process.stdout.readline().split()
        if len(words) != 2 or words[0] != "Server:":
            raise SystemExit(f"the server did not become ready: {words}")
        yield process, words[1]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def report(number, name, error=None):
    print(f"{'not ok' if error else 'ok'} {number} - {name}", flush=True)
    if error:
        print(f"# {type(error).__name__}: {error}", flush=True)


async def run_each(cases, call, seconds=None, first=1, where=""):
    """Reports each case, `call(case)` being its coroutine; returns how many failed."""
    failed = 0
    for i, fn in enumerate(cases):
        error = None
        try:
            await asyncio.wait_for(call(fn), seconds)
        except Exception as caught:  # a case may fail in any way
            error = caught
        report(first + i, fn.__name__ + where, error)
        failed += error is not None
    return failed


def run_on_ours(cases, missing, run):
    """The main function of a check on a server of its own: run(binary, address, folder) gives the number that failed."""
    print(f"1..{len(cases)}", flush=True)
    if missing:
        for i, fn in enumerate(cases):
            print(f"ok {i + 1} - {fn.__name__} # SKIP {missing}")
        return 0
    with running_server(sys.argv[1]) as (_, address):
        with tempfile.TemporaryDirectory() as folder:
            return 1 if asyncio.run(run(sys.argv[1], address, folder)) else 0


def run_on_both(cases, missing, run):
    """The same on our server and on the real one: run(binary, address, folder, first, where) gives the number that
    failed, `first` being the number of its first case."""

    def skip(first, where, reason):
        for i, fn in enumerate(cases):
            print(f"ok {first + i} - {fn.__name__}{where} # SKIP {reason}")

    def begin(address, first, where):
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(run(sys.argv[1], address, folder, first, where))

    n, there, real = len(cases), " on the real server", servers.real_server_path()
    print(f"1..{2 * n}", flush=True)
    if missing:
        skip(1, "", missing)
        skip(n + 1, there, missing)
        return 0
    with running_server(sys.argv[1]) as (_, address):
        failed = begin(address, 1, "")
    if not real:
        skip(n + 1, there, "TEMPORAL_REAL_SERVER is not set")
    else:
        with servers.real_server(real) as address:
            failed += begin(address, n + 1, there)
    return 1 if failed else 0


@contextlib.asynccontextmanager
async def lua_worker(binary, address, folder, source, queue):
    """A process that runs the Lua worker of this source; it finds its task queue in SPEC_QUEUE."""
    with open(os.path.join(folder, "serve.lua"), "w", encoding="utf-8") as file:
        file.write(source)
    process = await asyncio.create_subprocess_exec(
        os.path.abspath(binary),
        *("worker", "run", "serve.lua"),
        cwd=folder,
        env=dict(os.environ, TEMPORAL_ADDRESS=address, SPEC_QUEUE=queue),
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)
