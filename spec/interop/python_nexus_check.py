"""Nexus between the Python SDK and Lua: handlers of both, called by workflows of both, on this server and on the
real one (TEMPORAL_REAL_SERVER). Whoever calls whom is told the same. Prints TAP; every case is skipped when
temporalio or nexusrpc cannot be imported, those on the real server when there is none.

usage: python_nexus_check.py TEMPORAL_LUA_BINARY
"""

import asyncio
import contextlib
import os
import sys
import uuid
from datetime import timedelta

import suite

CASES = []

try:
    import nexusrpc
    import nexusrpc.handler
    from temporalio import nexus, workflow
    from temporalio.api.nexus.v1 import EndpointSpec, EndpointTarget
    from temporalio.api.operatorservice.v1 import CreateNexusEndpointRequest
    from google.protobuf.duration_pb2 import Duration
    from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
    from temporalio.client import Client
    from temporalio.exceptions import ApplicationError
    from temporalio.service import RPCError
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None

QUEUE, LUA_QUEUE = "python-nexus", "lua-nexus"
# Of the handlers in each language, with their task queues.
ENDPOINTS = {"python-shipping": QUEUE, "lua-shipping": LUA_QUEUE}

LUA_SERVE = """
local nexus = require "temporal.nexus"
local temporal = require "temporal"
local tries = {}
return temporal.worker {
  task_queue = os.getenv "SPEC_QUEUE",
  nexus_services = { nexus.service("Shipping", {
    price = function(where) return where .. " by " .. nexus.info().endpoint end,
    ship = nexus.workflow_run_operation(function(where)
      return nexus.start_workflow("Ship", { id = "lua-ship-" .. nexus.info().request_id }, where)
    end),
    refuse = function() error(nexus.handler_error { type = "bad_request", message = "not there" }) end,
    decline = function() error(nexus.operation_error { state = "failed", message = "declined" }) end,
    recover = function(where)
      tries[where] = (tries[where] or 0) + 1
      if tries[where] < 3 then error "not yet" end
      return "after " .. tries[where]
    end,
  }) },
  workflows = { { name = "caller", source = [[
    local temporal = require "temporal"
    local workflow = require "temporal.workflow"
    workflow.define("Ship", function(where)
      if where == "wait" then workflow.sleep(1000) end
      if where == "nowhere" then
        error(temporal.failure { type = "Sunk", message = "no ship goes there", non_retryable = true })
      end
      return "shipped to " .. where
    end)
    local function texts(err)
      local list = {}
      while err do
        list[#list + 1] = err.message
        err = err.cause
      end
      return list[#list]
    end
    return workflow.define("Caller", function(operation, input, endpoint)
      local shipping = workflow.nexus_client { endpoint = endpoint, service = "Shipping" }
      if operation == "cancel" then
        local handle = shipping:start_operation("ship", nil, "wait")
        assert(#handle.operation_token > 0)
        handle:cancel()
        local ok, err = pcall(handle.result, handle)
        return ok and "no" or err.cause.kind
      end
      local ok, result = pcall(shipping.execute_operation, shipping, operation,
        { schedule_to_close_timeout = "40s" }, input)
      return ok and result or "failed: " .. texts(result)
    end)]] } },
}
"""


def case(fn):
    CASES.append(fn)
    return fn


if MISSING is None:

    @nexusrpc.service
    class Shipping:
        price: nexusrpc.Operation[str, str]
        ship: nexusrpc.Operation[str, str]
        refuse: nexusrpc.Operation[str, str]
        decline: nexusrpc.Operation[str, str]
        recover: nexusrpc.Operation[str, str]

    @workflow.defn
    class Ship:
        @workflow.run
        async def run(self, where: str) -> str:
            if where == "wait":
                await asyncio.sleep(1000)
            if where == "nowhere":
                raise ApplicationError("no ship goes there", type="Sunk")
            return "shipped to " + where

    @nexusrpc.handler.service_handler(service=Shipping)
    class Handler:
        def __init__(self):
            self.tries = {}

        @nexusrpc.handler.sync_operation
        async def price(self, ctx, where: str) -> str:
            return f"{where} by {nexus.info().endpoint}"

        @nexus.workflow_run_operation
        async def ship(
            self, ctx: nexus.WorkflowRunOperationContext, where: str
        ) -> nexus.WorkflowHandle[str]:
            return await ctx.start_workflow(Ship.run, where, id="ship-" + str(uuid.uuid4()))

        @nexusrpc.handler.sync_operation
        async def refuse(self, ctx, where: str) -> str:
            raise nexusrpc.HandlerError("not there", type=nexusrpc.HandlerErrorType.BAD_REQUEST)

        @nexusrpc.handler.sync_operation
        async def decline(self, ctx, where: str) -> str:
            raise nexusrpc.OperationError("declined", state=nexusrpc.OperationErrorState.FAILED)

        @nexusrpc.handler.sync_operation
        async def recover(self, ctx, where: str) -> str:
            self.tries[where] = self.tries.get(where, 0) + 1
            if self.tries[where] < 3:
                raise RuntimeError("not yet")
            return f"after {self.tries[where]}"

    @workflow.defn(name="Caller")
    class Caller:
        @workflow.run
        async def run(self, operation: str, where: str, endpoint: str) -> str:
            shipping = workflow.create_nexus_client(service=Shipping, endpoint=endpoint)
            try:
                if operation == "cancel":
                    handle = await shipping.start_operation(Shipping.ship, "wait")
                    assert handle.operation_token
                    handle.cancel()
                    return await handle
                return await shipping.execute_operation(
                    getattr(Shipping, operation),
                    where,
                    schedule_to_close_timeout=timedelta(seconds=40),
                )
            except BaseException as error:
                if operation == "cancel":
                    return type(error.__cause__).__name__
                while error.__cause__:
                    error = error.__cause__
                return f"failed: {error.message if hasattr(error, 'message') else error}"


async def call(client, queue, operation, where, endpoint):
    workflow_id = f"{operation}-{uuid.uuid4()}"
    result = await client.execute_workflow(
        "Caller", args=[operation, where, endpoint], id=workflow_id, task_queue=queue
    )
    return workflow_id, result


async def check(client, operation, where, expected):
    """The same answer for the callers and from the handlers in both languages."""
    for endpoint in ENDPOINTS:
        for queue in (QUEUE, LUA_QUEUE):
            what = where + queue if operation == "recover" else where
            _, result = await call(client, queue, operation, what, endpoint)
            assert result == expected.replace("ENDPOINT", endpoint), (endpoint, queue, result)


@case
async def an_operation_is_answered_at_once(client):
    await check(client, "price", "Rome", "Rome by ENDPOINT")


@case
async def a_workflow_is_the_operation(client):
    await check(client, "ship", "Rome", "shipped to Rome")


@case
async def the_workflow_behind_it_fails(client):
    await check(client, "ship", "nowhere", "failed: no ship goes there")


@case
async def a_request_is_refused(client):
    await check(client, "refuse", "Rome", "failed: not there")


@case
async def an_operation_fails_at_once(client):
    await check(client, "decline", "Rome", "failed: declined")


@case
async def an_operation_is_tried_again(client):
    await check(client, "recover", "Rome", "after 3")


@case
async def an_operation_is_cancelled(client):
    await check(client, "cancel", "", "CancelledError")


@case
async def the_tokens_have_one_form(client):
    """Python reads the token of an operation that Lua has started, as its handler would to cancel it."""
    for endpoint in ENDPOINTS:
        workflow_id, _ = await call(client, LUA_QUEUE, "ship", "Rome", endpoint)
        handle = client.get_workflow_handle(workflow_id)
        started = None
        async for event in handle.fetch_history_events():
            if event.HasField("nexus_operation_started_event_attributes"):
                started = event
        token = started.nexus_operation_started_event_attributes.operation_token
        named = nexus.WorkflowHandle.from_token(token)
        assert named.namespace == "default", named
        link = started.links[0].workflow_event
        assert link.workflow_id == named.workflow_id, (link, named)
        behind = await client.get_workflow_handle(named.workflow_id).describe()
        assert behind.id == link.workflow_id


async def connect(address):
    """A client of a server that may still be starting, with its namespace, which a real server has not by itself."""
    for _ in range(60):
        with contextlib.suppress(RuntimeError, RPCError):
            client = await Client.connect(address)
            with contextlib.suppress(RPCError):  # it is there
                await client.workflow_service.register_namespace(
                    RegisterNamespaceRequest(
                        namespace="default",
                        workflow_execution_retention_period=Duration(seconds=86400),
                    )
                )
            await client.count_workflows()  # the namespace is known everywhere
            return client
        await asyncio.sleep(0.5)
    raise SystemExit(f"the server at {address} did not become ready")


async def run_cases(binary, address, folder, first, where):
    client = await connect(address)
    for endpoint, queue in ENDPOINTS.items():
        target = EndpointTarget(
            worker=EndpointTarget.Worker(namespace="default", task_queue=queue)
        )
        await client.operator_service.create_nexus_endpoint(
            CreateNexusEndpointRequest(spec=EndpointSpec(name=endpoint, target=target))
        )
    async with suite.lua_worker(binary, address, folder, LUA_SERVE, LUA_QUEUE):
        async with Worker(
            client,
            task_queue=QUEUE,
            workflows=[Caller, Ship],
            nexus_service_handlers=[Handler()],
            # Its sandbox would import this file once more.
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            return await suite.run_each(CASES, lambda fn: fn(client), 60, first, where)


def main():
    return suite.run_on_both(CASES, MISSING, run_cases)


if __name__ == "__main__":
    sys.exit(main())
