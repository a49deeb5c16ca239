"""The same requests to the real Temporal server and to ours, their answers compared field by field: values,
gRPC codes, messages and error details. TAP; without TEMPORAL_REAL_SERVER or temporalio all is skipped.

usage: answers.py TEMPORAL_LUA_BINARY [--page FILE]

Where the official command line is at hand (TEMPORAL_OFFICIAL_CLI, or `temporal` on the PATH) its
development server, an older one, is asked too: it tells differences of versions from differences of ours.
differences.txt holds what may differ and why; a row of it that no longer occurs fails. --page writes the table
of results, spec/interop/COMPARISON.md.
"""

import asyncio
import contextlib
import inspect
import re
import sys
from datetime import timedelta

import servers
from allowed import Allowed, Tap

try:
    import temporalio.api.workflowservice.v1 as ws
    from temporalio.service import ConnectConfig, RPCError, ServiceClient
except ImportError as missing:
    MISSING = str(missing)
else:
    MISSING = None
    import answers_script
    import compare

ERROR_DETAILS = "temporalio.api.errordetails.v1"


class Answer:
    """What one server said to one request, flattened."""

    def __init__(self, step, method, fields):
        self.step, self.method, self.fields = step, method, fields


class Server:
    """One server under comparison: sends requests, remembers the answers in order."""

    def __init__(self, client):
        self.client, self.answers, self.names = client, [], compare.Names()

    def method(self, rpc):
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()
        for service in (self.client.workflow_service, self.client.operator_service):
            if hasattr(service, snake):
                fn = getattr(service, snake)
                annotation = inspect.signature(fn).parameters["req"].annotation
                return fn, resolve(annotation)
        raise KeyError(rpc)

    async def call(self, step, rpc, fields=None, record=True, timeout=15, **more):
        """Sends a request given as JSON-like fields. Returns the answer message, or the RPCError."""
        fn, request_type = self.method(rpc)
        request = compare.as_request(request_type, {"namespace": "compare", **(fields or {}), **more}
                                     if "namespace" in request_type.DESCRIPTOR.fields_by_name
                                     else {**(fields or {}), **more})
        for _ in range(40):
            try:
                answer = await fn(request, timeout=timedelta(seconds=timeout))
            except RPCError as error:
                answer = error
            if not is_rate_limit(answer):
                break
            await asyncio.sleep(0.25)
        if isinstance(answer, RPCError):
            if record:
                self.answers.append(Answer(step, rpc, self.error_fields(answer)))
            return answer
        if getattr(answer, "run_id", ""):
            self.names.learn(answer.run_id, "run of " + step)
        if record:
            self.answers.append(Answer(step, rpc, compare.flatten(answer, self.names)))
        return answer

    def error_fields(self, error):
        out = {"code": error.status.name, "message": self.names(error.message)}
        for i, detail in enumerate(error.grpc_status.details):
            name = detail.type_url.rsplit("/", 1)[-1]
            out[f"details[{i}]"] = name
            message = detail_message(name)
            if message is not None:
                detail.Unpack(message)
                compare.flatten(message, self.names, f"details[{i}]", out)
                out[f"details[{i}]"] = name
        return out

    async def eventually(self, ask):
        """Asks until the answer is true; gives it."""
        for _ in range(200):
            answer = await ask()
            if answer:
                return answer
            await asyncio.sleep(0.1)
        raise AssertionError("it never came: " + inspect.getsource(ask).strip())


def is_rate_limit(answer):
    """The real server allows some requests a second of each namespace."""
    return isinstance(answer, RPCError) and answer.message == "namespace rate limit exceeded"


def resolve(annotation):
    """The class that a signature names in text."""
    if not isinstance(annotation, str):
        return annotation
    module, name = annotation.rsplit(".", 1)
    return getattr(__import__(module, fromlist=[name]), name)


def detail_message(name):
    module = __import__(ERROR_DETAILS, fromlist=["x"])
    found = getattr(module, name.rsplit(".", 1)[-1], None)
    return found() if found and found.DESCRIPTOR.full_name == name else None


async def answers_of(address):
    client = await ServiceClient.connect(ConnectConfig(target_host=address))
    server = Server(client)
    await answers_script.run(server)
    return server.answers


def carried_out():
    """RPCs that the server's table says are carried out, but for the TestService's."""
    names = []
    with open("host/server/api/table.def", encoding="utf-8") as table:
        for line in table:
            found = re.match(r"(?:INSPACE|GLOBAL)\((\w+),", line)
            if found:
                names.append(found.group(1))
    return [n for n in names if hasattr(ws, n + "Request") or n.endswith("SearchAttributes")]


def version_says(older, path, ours):
    """Whether the older reference answers as we do."""
    return older is not None and older.fields.get(path) == ours


def compare_all(tap, reference, ours, older, allowed, rows):
    """One case per step. rows collects (rpc, step, fields, allowed differences) for the page."""
    steps, there_by_step = {a.step: a for a in older}, {a.step: a for a in reference}
    for mine in ours:
        problems, known = [], []
        theirs = there_by_step[mine.step]
        for path, there, here in compare.differing(theirs.fields, mine.fields):
            reason = allowed.reason(mine.step, path)
            if reason:
                known.append((path, reason))
                continue
            note = " (the older server as we)" if version_says(steps.get(mine.step), path, here) else ""
            problems.append(f"{path}: {there!r} there, {here!r} here{note}")
        rows.append((mine.method, mine.step, len(mine.fields), known, problems))
        tap.case(f"{mine.method}: {mine.step}", problems)


def write_page(path, rows, allowed, untried, references):
    methods = {}
    for method, _, fields, known, problems in rows:
        entry = methods.setdefault(method, [0, 0, 0, 0])
        entry[0] += 1
        entry[1] += fields
        entry[2] += len(known)
        entry[3] += len(problems)
    lines = [
        "<!-- generated by spec/interop/answers.py - do not edit -->",
        "# The same requests to the real server and to ours",
        "",
        f"Reference: {references}. Each step is one request to both; values, codes, messages and details of the",
        "answers are compared field by field, random ids by where they occur again, times by being there.",
        "",
        "| RPC | requests | fields compared | allowed differences | others |",
        "|---|---|---|---|---|",
    ]
    for method in sorted(methods):
        lines.append("| {} | {} | {} | {} | {} |".format(method, *methods[method]))
    total = [sum(entry[i] for entry in methods.values()) for i in range(4)]
    lines.append("| **all** | {} | {} | {} | {} |".format(*total))
    lines += ["", "Carried out and not asked here: " + (", ".join(untried) or "none") + ".", ""]
    lines += ["## Allowed differences", "", "| step | field | times | reason |", "|---|---|---|---|"]
    for what, where, reason, _, times in allowed.rows:
        lines.append(f"| {what} | `{where}` | {times} | {reason} |")
    with open(path, "w", encoding="utf-8") as page:
        page.write("\n".join(lines) + "\n")


async def gather(binary):
    """Answers of the real server, of ours, and of the older development server ([] without it)."""
    with contextlib.ExitStack() as stack:
        dynamic = ["--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"]
        ours = stack.enter_context(servers.our_server(binary, *dynamic))
        real = stack.enter_context(servers.real_server(servers.real_server_path()))
        addresses = [real, ours]
        cli = servers.official_cli_path()
        if cli:
            addresses.append(stack.enter_context(servers.official_dev_server(cli)))
        found = await asyncio.gather(*(answers_of(address) for address in addresses))
        return [*found, []][:3]


def main():
    if MISSING or not servers.real_server_path():
        print("1..1\nok 1 - answers # SKIP " + (MISSING or "TEMPORAL_REAL_SERVER is not set"))
        return 0
    reference, ours, older = asyncio.run(gather(sys.argv[1]))
    tap, allowed, rows = Tap(), Allowed("differences.txt"), []
    compare_all(tap, reference, ours, older, allowed, rows)
    tap.case("as many answers", [] if len(reference) == len(ours) else
             [f"{len(reference)} there, {len(ours)} here"])
    tap.case("every allowed difference occurs", allowed.unused())
    asked = {row[0] for row in rows}
    untried = [name for name in carried_out() if name not in asked]
    if "--page" in sys.argv:
        write_page(sys.argv[sys.argv.index("--page") + 1], rows, allowed, untried,
                   "the real server" + (", the older development server beside it" if older else ""))
    tap.plan()
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
