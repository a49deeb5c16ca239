"""Server reflection and health checking of `temporal-lua server start-dev`, asked by the official Python
packages. Prints TAP; every case is skipped when grpcio and its two packages cannot be imported.

usage: reflection_check.py TEMPORAL_LUA_BINARY
"""

import signal
import subprocess
import sys
import traceback

CASES = []

try:
    import grpc
    from google.protobuf import message_factory
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None

WORKFLOW_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
REFLECT = "/grpc.reflection.%s.ServerReflection/ServerReflectionInfo"


def case(function):
    CASES.append(function)
    return function


class Server:
    """A development server of its own, and a channel to it."""

    def __init__(self, binary):
        self.process = subprocess.Popen(
            [binary, "server", "start-dev", "--port", "0", "--headless"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        words = self.process.stdout.readline().split()
        assert words and words[0] == "Server:", words
        self.channel = grpc.insecure_channel(words[1])

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def status_of(call):
    try:
        list(call)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def reflect(server, version, requests):
    call = server.channel.stream_stream(
        REFLECT % version,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return call(iter(requests), timeout=20)


@case
def a_method_is_called_by_what_reflection_tells_alone(server):
    database = ProtoReflectionDescriptorDatabase(server.channel)
    services = set(database.get_services())
    assert {WORKFLOW_SERVICE, "grpc.health.v1.Health"} <= services, services
    pool = DescriptorPool(database)
    for name in services:
        for method in pool.FindServiceByName(name).methods:
            assert method.input_type and method.output_type
    method = pool.FindServiceByName(WORKFLOW_SERVICE).FindMethodByName("DescribeNamespace")
    request = message_factory.GetMessageClass(method.input_type)(namespace="default")
    answer = message_factory.GetMessageClass(method.output_type)
    call = server.channel.unary_unary(
        "/%s/%s" % (WORKFLOW_SERVICE, method.name),
        request_serializer=type(request).SerializeToString,
        response_deserializer=answer.FromString,
    )
    assert call(request, timeout=20).namespace_info.name == "default"


@case
def both_versions_answer_many_messages_of_one_stream(server):
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=WORKFLOW_SERVICE),
    ]
    for version in ("v1", "v1alpha"):
        answers = list(reflect(server, version, asked * 20))
        kinds = [answer.WhichOneof("message_response") for answer in answers]
        assert kinds == ["list_services_response", "error_response", "file_descriptor_response"] * 20, kinds
        assert answers[1].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert status_of(reflect(server, "v1", [])) == grpc.StatusCode.OK
    nothing = [reflection_pb2.ServerReflectionRequest()]
    assert status_of(reflect(server, "v1", nothing)) == grpc.StatusCode.INVALID_ARGUMENT


@case
def watches_see_the_state_at_once_and_stay(server):
    health = health_pb2_grpc.HealthStub(server.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    for service, status in (("", serving), (WORKFLOW_SERVICE, serving), ("none", unknown)):
        watch = health.Watch(health_pb2.HealthCheckRequest(service=service), timeout=20)
        assert next(watch).status == status
        watch.cancel()
    watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=0.3)
    assert next(watch).status == serving
    assert status_of(watch) == grpc.StatusCode.DEADLINE_EXCEEDED
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=20).status == serving


@case
def watches_and_streams_end_when_the_server_stops(server):
    health = health_pb2_grpc.HealthStub(server.channel)
    watches = [health.Watch(health_pb2.HealthCheckRequest(), timeout=20) for _ in range(50)]
    for watch in watches:
        next(watch)
    assert server.stop() == 0
    for watch in watches:
        assert status_of(watch) == grpc.StatusCode.UNAVAILABLE


def main():
    binary = sys.argv[1]
    print("1..%d" % len(CASES))
    failed = 0
    for number, function in enumerate(CASES, 1):
        name = "reflection: " + function.__name__.replace("_", " ")
        if MISSING:
            print("ok %d - %s # SKIP %s" % (number, name, MISSING))
            continue
        server = Server(binary)
        try:
            function(server)
            assert server.stop() == 0
            print("ok %d - %s" % (number, name), flush=True)
        except Exception:
            failed += 1
            print("not ok %d - %s" % (number, name), flush=True)
            traceback.print_exc()
        finally:
            server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
