"""A service that wants an API key, played with grpcio, and the command line as its client. Prints TAP; every
case is skipped when grpcio cannot be imported.

usage: api_key_check.py TEMPORAL_LUA_BINARY
"""

import subprocess
import sys
import tempfile
import traceback
from concurrent import futures

CASES = []

try:
    import grpc
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None


def case(function):
    CASES.append(function)
    return function


class Service:
    """Answers every unary call with an empty message when the key is right."""

    KEY = "Bearer good"

    def __init__(self):
        self.seen = []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        self.address = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details):
        metadata = dict(details.invocation_metadata)
        self.seen.append((details.method.rsplit("/", 1)[-1], metadata))
        good = metadata.get("authorization") == self.KEY

        def answer(request, context):
            if not good:
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request unauthorized.")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


def count(service, *more):
    command = [BINARY, "workflow", "count", "--address", service.address, "--tls=false", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


@case
def the_right_key_is_sent_with_each_call(service):
    done = count(service, "--api-key", "good", "--namespace", "shop")
    assert done.returncode == 0, done.stderr
    assert len(service.seen) >= 2, service.seen
    for method, metadata in service.seen:
        assert metadata["authorization"] == Service.KEY, (method, metadata)
        assert metadata["temporal-namespace"] == "shop", (method, metadata)


@case
def a_wrong_key_is_told_and_not_tried_again(service):
    done = count(service, "--api-key", "bad")
    assert done.returncode == 1, done
    assert "Request unauthorized" in done.stderr, done.stderr
    assert "bad" not in done.stderr, done.stderr
    assert len(service.seen) == 1, service.seen


def run(service, script):
    """What the service saw of a script's count_workflows, and what the script printed."""
    text = """
        local temporal = require "temporal"
        local address, path = "%s", os.tmpname()
        local function write(key)
          local file <close> = assert(io.open(path, "wb"))
          file:write(key)
        end
        local function count(client)
          local ok, why = pcall(client.count_workflows, client)
          print(ok and "counted" or (tostring(why):gsub("\\n.*", "")))
        end
        %s
        os.remove(path)
    """ % (service.address, script)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([BINARY, "run", file.name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [metadata.get("authorization") for _, metadata in service.seen], done


@case
def a_file_is_read_again_when_it_changes(service):
    seen, done = run(service, """
        write "good\\n"
        local client <close> = temporal.connect { address = address, api_key_path = path, tls = false, lazy = true }
        count(client)
        write "renewed"
        os.execute "sleep 1.2"
        count(client)
        write ""
        os.execute "sleep 1.2"
        count(client)
    """)
    assert seen == ["Bearer good", "Bearer renewed", "Bearer renewed"], seen
    assert "grpc.api_key_kept" in done.stderr and "is empty" in done.stderr, done.stderr
    assert "good" not in done.stderr and "renewed\n" not in done.stderr, done.stderr


@case
def a_function_is_asked_again_in_time(service):
    seen, done = run(service, """
        local asked = 0
        local client <close> = temporal.connect { address = address, tls = false, lazy = true, api_key_refresh = 0.4,
          api_key = function()
            asked = asked + 1
            if asked == 3 then error "no vault" end
            return asked == 1 and "good" or "secret" .. asked
          end }
        count(client)
        count(client)
        os.execute "sleep 0.5"
        count(client)
        os.execute "sleep 0.5"
        count(client)
        os.execute "sleep 0.5"
        count(client)
        client:set_api_key "given"
        os.execute "sleep 0.5"
        count(client)
        print(asked)
    """)
    assert seen == ["Bearer good", "Bearer good", "Bearer secret2", "Bearer secret2", "Bearer secret4", "Bearer given"], seen
    assert done.stdout.endswith("\n4\n"), done.stdout
    assert "client.api_key_kept" in done.stderr and "no vault" in done.stderr, done.stderr
    assert "secret" not in done.stderr, done.stderr


@case
def no_key_is_no_header(service):
    done = count(service)
    assert done.returncode == 1 and "Request unauthorized" in done.stderr, done
    assert "authorization" not in service.seen[0][1], service.seen


@case
def headers_of_the_environment_and_of_options_are_sent(service):
    done = count(service, "--grpc-meta", "authorization=Bearer good", "--grpc-meta", "X-Trace=t")
    assert done.returncode == 0, done.stderr
    assert service.seen[0][1]["x-trace"] == "t", service.seen


def main():
    print("1..%d" % len(CASES))
    failed = 0
    for number, function in enumerate(CASES, 1):
        name = function.__name__.replace("_", " ")
        if MISSING:
            print("ok %d - %s # SKIP %s" % (number, name, MISSING))
            continue
        try:
            function(Service())
            print("ok %d - %s" % (number, name))
        except Exception:
            failed += 1
            print("not ok %d - %s" % (number, name))
            print("# " + traceback.format_exc().replace("\n", "\n# "))
    return 1 if failed else 0


BINARY = sys.argv[1] if len(sys.argv) > 1 else sys.exit(__doc__)
sys.exit(main())
