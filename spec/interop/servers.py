"""Servers that the comparisons run on, each a process of its own: ours, the real one, and the official
development server. Context managers that give the address."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time


def real_server_path():
    """Executable of the real server, or None."""
    return os.environ.get("TEMPORAL_REAL_SERVER")


def official_cli_path():
    """The official command line, or None. On the PATH it is `temporal`."""
    return os.environ.get("TEMPORAL_OFFICIAL_CLI") or shutil.which("temporal")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, **options):
    """A process, stopped at the end of the block."""
    options.setdefault("stdout", subprocess.DEVNULL)
    options.setdefault("stderr", subprocess.DEVNULL)
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_port(process, port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"{process.args[0]} does not listen on port {port}")


@contextlib.contextmanager
def our_server(binary, *arguments):
    command = [binary, "server", "start-dev", "--port", "0", "--headless", *arguments]
    with running(command, stdout=subprocess.PIPE, text=True) as process:
        words = process.stdout.readline().split()
        if len(words) != 2 or words[0] != "Server:":
            raise SystemExit(f"our server did not become ready: {words}")
        yield words[1]


def wait_until_free(port, seconds=20):
    """Until what listened on the port has left: the real server's ports are fixed by its configuration."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            time.sleep(0.1)
            continue
        return


@contextlib.contextmanager
def real_server(executable):
    for port in (28233, 28234, 28235, 28239):
        wait_until_free(port)
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(here, "real_server.yaml"), os.path.join(folder, "real.yaml"))
        # The configuration names it as seen from the top folder of the tree.
        os.makedirs(os.path.join(folder, "spec", "interop"))
        dynamic = os.path.join("spec", "interop", "real_server_dynamic.yaml")
        shutil.copy(os.path.join(here, os.path.basename(dynamic)), os.path.join(folder, dynamic))
        command = [executable, "--root", folder, "--config", ".", "--env", "real"]
        with running([*command, "--allow-no-auth", "start"], cwd=folder) as process:
            wait_for_port(process, 28233)
            yield "127.0.0.1:28233"


@contextlib.contextmanager
def official_dev_server(executable, *arguments):
    port = free_port()
    command = [executable, "server", "start-dev", "--headless", "--ip", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "never", *arguments]
    with running(command) as process:
        wait_for_port(process, port)
        yield f"127.0.0.1:{port}"
