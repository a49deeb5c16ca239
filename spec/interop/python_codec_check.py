"""Payload codecs, external storage and encoded failures between the Python SDK and Lua: each reads what the other
wrote.
Prints TAP; every case is skipped when temporalio or cryptography cannot be imported.

usage: python_codec_check.py TEMPORAL_LUA_BINARY
"""

import asyncio
import dataclasses
import hashlib
import os
import signal
import sys
import uuid
import zlib

import suite

CASES = []

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from temporalio import converter, workflow
    from temporalio.api.common.v1 import Payload
    from temporalio.client import Client, WorkflowFailureError
    from temporalio.exceptions import ApplicationError
    from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None

VALUE = "python-secret" * 20
KEY_ID, KEY = "key-1", b"an AES-256 key of thirty-two by."

LUA_CONVERTERS = """
local temporal = require "temporal"
local converters = {
  aes = { temporal.codec.aes_gcm { keys = { ["key-1"] = "an AES-256 key of thirty-two by." }, active = "key-1" } },
  zlib = { temporal.codec.zlib { min_size = 0 } },
}
local storage = temporal.external_storage {
  drivers = { temporal.storage.file { folder = os.getenv "SPEC_STORE" } }, payload_size_threshold = 0,
}
return function(name)
  return temporal.connect { data_converter = temporal.data_converter {
    payload_codecs = converters[name], failure_converter = { encode_common_attributes = true },
    external_storage = name == "storage" and storage or nil } }
end
"""

LUA_SERVE = """
local temporal = require "temporal"
return temporal.worker {
  client = require "converters" (os.getenv "SPEC_CODEC"), task_queue = os.getenv "SPEC_QUEUE",
  workflows = { { name = "mirror", source = [[
    local temporal = require "temporal"
    local workflow = require "temporal.workflow"
    return workflow.define("LuaMirror", function(value, fail)
      local side = workflow.side_effect(function() return "lua-side-secret" end)
      local back = workflow.execute_activity("echo", { start_to_close_timeout = 10 }, value)
      if fail then
        error(temporal.failure { type = "Asked", message = "lua-message-secret", details = { back } })
      end
      return { back, side }
    end)]] } },
  activities = { echo = function(v) return v end },
}
"""

LUA_CALL = """
local temporal = require "temporal"
local client <close> = require "converters" (arg[1])
local result = client:execute_workflow("PythonMirror", { task_queue = arg[2], id = arg[3] }, "from-lua-secret", false)
assert(result == "from-lua-secret", result)
local ok, err = pcall(client.execute_workflow, client, "PythonMirror", { task_queue = arg[2] }, "detail-secret", true)
assert(not ok and err.cause.message == "python-message-secret", err.cause and err.cause.message or tostring(err))
assert(err.cause.type == "Asked" and err.cause.details[1] == "detail-secret")
print "read"
"""


def case(fn):
    CASES.append(fn)
    return fn


if MISSING is None:

    class Encryption(converter.PayloadCodec):
        """The layout of the SDKs' encryption samples."""

        async def encode(self, payloads):
            return [self.encrypt(p) for p in payloads]

        async def decode(self, payloads):
            return [self.decrypt(p) for p in payloads]

        def encrypt(self, p):
            nonce = os.urandom(12)
            data = nonce + AESGCM(KEY).encrypt(nonce, p.SerializeToString(), None)
            metadata = {"encoding": b"binary/encrypted", "encryption-key-id": KEY_ID.encode()}
            return Payload(metadata=metadata, data=data)

        def decrypt(self, p):
            if p.metadata.get("encoding") != b"binary/encrypted":
                return p
            assert p.metadata["encryption-key-id"] == KEY_ID.encode()
            return Payload.FromString(AESGCM(KEY).decrypt(p.data[:12], p.data[12:], None))

    class Compression(converter.PayloadCodec):
        async def encode(self, payloads):
            return [
                Payload(
                    metadata={"encoding": b"binary/zlib"},
                    data=zlib.compress(p.SerializeToString()),
                )
                for p in payloads
            ]

        async def decode(self, payloads):
            return [
                Payload.FromString(zlib.decompress(p.data))
                if p.metadata.get("encoding") == b"binary/zlib"
                else p
                for p in payloads
            ]

    class FileDriver(converter.StorageDriver):
        """The files of Lua's driver."""

        def __init__(self, folder):
            self.folder = folder

        def name(self):
            return "file"

        def path(self, digest):
            return os.path.join(self.folder, digest[:2], digest)

        async def store(self, context, payloads):
            claims = []
            for p in payloads:
                data = p.SerializeToString()
                digest = hashlib.sha256(data).hexdigest()
                os.makedirs(os.path.dirname(self.path(digest)), exist_ok=True)
                with open(self.path(digest), "wb") as file:
                    file.write(data)
                claims.append(
                    converter.StorageDriverClaim(
                        {"hash_algorithm": "sha256", "hash_value": digest}
                    )
                )
            return claims

        async def retrieve(self, context, claims):
            payloads = []
            for claim in claims:
                with open(self.path(claim.claim_data["hash_value"]), "rb") as file:
                    payloads.append(Payload.FromString(file.read()))
            return payloads

    # Its sandbox would import this file, and with it the encryption, once more.
    RUNNER = UnsandboxedWorkflowRunner()
    CODECS = {"aes": Encryption, "zlib": Compression}

    @workflow.defn(name="PythonMirror")
    class PythonMirror:
        @workflow.run
        async def run(self, value: str, fail: bool) -> str:
            if fail:
                raise ApplicationError("python-message-secret", value, type="Asked")
            return value


def data_converter(name, folder):
    plain = dataclasses.replace(
        converter.default(),
        failure_converter_class=converter.DefaultFailureConverterWithEncodedAttributes,
    )
    if name == "storage":
        storage = converter.ExternalStorage(
            drivers=[FileDriver(folder)], payload_size_threshold=0
        )
        return dataclasses.replace(plain, external_storage=storage)
    return dataclasses.replace(plain, payload_codec=CODECS[name]())


class Scripts:
    """The Lua scripts in a folder, and how they are run."""

    def __init__(self, binary, address, folder):
        self.binary = os.path.abspath(binary)
        self.folder = folder
        self.environment = dict(os.environ, TEMPORAL_ADDRESS=address, SPEC_STORE=folder)
        self.environment["LUA_PATH"] = os.path.join(folder, "?.lua") + ";;"
        texts = {"converters": LUA_CONVERTERS, "serve": LUA_SERVE, "call": LUA_CALL}
        for name, text in texts.items():
            with open(os.path.join(folder, name + ".lua"), "w", encoding="utf-8") as file:
                file.write(text)

    async def start(self, *arguments, **variables):
        return await asyncio.create_subprocess_exec(
            self.binary,
            *arguments,
            cwd=self.folder,
            env=dict(self.environment, **variables),
            stdout=asyncio.subprocess.PIPE,
        )


async def stored(address, workflow_id):
    """The history as the server has it, as text."""
    plain = await Client.connect(address)
    history = await plain.get_workflow_handle(workflow_id).fetch_history()
    return b"".join(event.SerializeToString() for event in history.events)


def check_stored(name, history):
    if name == "aes":
        assert b"binary/encrypted" in history and b"secret" not in history
    elif name == "storage":
        assert b"ExternalStorageReference" in history and b"secret" not in history
    else:
        assert b"binary/zlib" in history and VALUE.encode() not in history


async def python_reads_lua(scripts, address, name):
    queue = f"lua-{name}"
    client = await Client.connect(address, data_converter=data_converter(name, scripts.folder))
    process = await scripts.start(
        "worker", "run", "serve.lua", SPEC_CODEC=name, SPEC_QUEUE=queue
    )
    try:
        run_id = str(uuid.uuid4())
        result = await client.execute_workflow(
            "LuaMirror", args=[VALUE, False], id=run_id, task_queue=queue
        )
        assert result == [VALUE, "lua-side-secret"], result
        failed = str(uuid.uuid4())
        try:
            await client.execute_workflow(
                "LuaMirror", args=[VALUE, True], id=failed, task_queue=queue
            )
            raise AssertionError("it did not fail")
        except WorkflowFailureError as error:
            assert error.cause.message == "lua-message-secret", error.cause
            assert error.cause.type == "Asked" and error.cause.details == (VALUE,)
    finally:
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 15)
    assert code == 0, code
    for workflow_id in (run_id, failed):
        check_stored(name, await stored(address, workflow_id))


async def lua_reads_python(scripts, address, name):
    queue = f"python-{name}"
    client = await Client.connect(address, data_converter=data_converter(name, scripts.folder))
    async with Worker(client, task_queue=queue, workflows=[PythonMirror], workflow_runner=RUNNER):
        workflow_id = str(uuid.uuid4())
        process = await scripts.start("run", "call.lua", name, queue, workflow_id)
        out, _ = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0 and out == b"read\n", (process.returncode, out)
    check_stored(name, await stored(address, workflow_id))
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    replayer = Replayer(
        workflows=[PythonMirror],
        data_converter=data_converter(name, scripts.folder),
        workflow_runner=RUNNER,
    )
    await replayer.replay_workflow(history)


@case
async def python_reads_what_lua_encrypted(scripts, address):
    await python_reads_lua(scripts, address, "aes")


@case
async def lua_reads_what_python_encrypted(scripts, address):
    await lua_reads_python(scripts, address, "aes")


@case
async def python_reads_what_lua_compressed(scripts, address):
    await python_reads_lua(scripts, address, "zlib")


@case
async def lua_reads_what_python_compressed(scripts, address):
    await lua_reads_python(scripts, address, "zlib")


@case
async def python_reads_what_lua_stored_elsewhere(scripts, address):
    await python_reads_lua(scripts, address, "storage")


@case
async def lua_reads_what_python_stored_elsewhere(scripts, address):
    await lua_reads_python(scripts, address, "storage")


async def run_cases(binary, address, folder):
    scripts = Scripts(binary, address, folder)
    return await suite.run_each(CASES, lambda fn: fn(scripts, address), 40)


def main():
    return suite.run_on_ours(CASES, MISSING, run_cases)


if __name__ == "__main__":
    sys.exit(main())
