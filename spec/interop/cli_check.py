"""The official command line beside ours: each runs the same commands against our server and against the official
development server, and what they print as JSON and how they end is compared. TAP; without
TEMPORAL_OFFICIAL_CLI (or `temporal` on the PATH) all is skipped.

usage: cli_check.py TEMPORAL_LUA_BINARY

Three comparisons: the official CLI on our server with the same on its own (our server's answers as it shows them),
and our CLI with the official one on either server. differences_cli.txt holds what may differ and why.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import servers
from allowed import Allowed, Tap

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?")

# Keys whose values differ between any two runs: only their kind is compared.
MASKED = {"identity", "lastModifierIdentity", "lastWorkerIdentity", "taskId", "historySizeBytes", "sizeBytes", "stateTransitionCount",
          "executionDuration", "stackTrace", "serverVersion", "clusterId", "buildId", "address", "runDuration",
          "durationMillis", "lastAccessTime", "nanos", "seconds", "backlogIncreaseRate", "tasksAddRate",
          "tasksDispatchRate", "ratePerSecond", "rate_per_second", "binaryChecksum", "build_id",
          "approximateBacklogAge", "clusterName", "persistenceStore", "visibilityStore"}

WORKFLOWS = """
local temporal = require "temporal"
local workflow = require "temporal.workflow"
local options = { start_to_close_timeout = 30 }
return {
  workflow.define("Waits", function(word)
    local go
    workflow.set_signal_handler("go", function(given) go = given end)
    workflow.set_query_handler("word", function() return word end)
    workflow.wait_condition(function() return go ~= nil end)
    return workflow.execute_activity("join", options, word, go)
  end),
  workflow.define("Fails", function()
    error(temporal.failure { type = "Bad", message = "no good", non_retryable = true })
  end),
  workflow.define("Open", function()
    return workflow.execute_activity("open", { start_to_close_timeout = 60, activity_id = "act" })
  end),
}
"""

WORKER = """
local temporal = require "temporal"
local activity = require "temporal.activity"
return temporal.worker {
  task_queue = "cli",
  workflows = { "all" },
  activities = {
    join = function(a, b) return a .. "-" .. b end,
    open = function() return activity.complete_async() end,
  },
}
"""

# (name, command line, text that the output must hold first or None). {p} is a prefix of the pair's own.
COMMANDS = [
    ("start", "workflow start --type Waits -t cli -w {p}a -i \"x\" --memo k=\"v\"", None),
    ("start again", "workflow start --type Waits -t cli -w {p}a --fail-existing", None),
    ("start without type", "workflow start -t cli -w {p}z", None),
    ("start with bad input", "workflow start --type Waits -t cli -w {p}z -i {{", None),
    ("start with bad policy", "workflow start --type Waits -t cli -w {p}z --id-reuse-policy Sometimes", None),
    ("describe", "workflow describe -w {p}a", '"state": "PENDING|historyLength": "4'),
    ("describe unknown", "workflow describe -w {p}never", None),
    ("query", "workflow query -w {p}a --name word", None),
    ("query unknown", "workflow query -w {p}a --name nonsense", None),
    ("stack", "workflow stack -w {p}a", None),
    ("metadata", "workflow metadata -w {p}a", None),
    ("signal unknown", "workflow signal -w {p}never --name go", None),
    ("signal", "workflow signal -w {p}a --name go -i \"y\"", None),
    ("result", "workflow result -w {p}a", None),
    ("describe completed", "workflow describe -w {p}a", None),
    ("show", "workflow show -w {p}a", None),
    ("show unknown", "workflow show -w {p}never", None),
    ("execute", "workflow execute --type Fails -t cli -w {p}f", None),
    ("result of failed", "workflow result -w {p}f", None),
    ("result of unknown", "workflow result -w {p}never", None),
    ("signal with start", "workflow signal-with-start --type Waits -t cli -w {p}s --signal-name go"
     " --signal-input \"y\" -i \"x\"", None),
    ("result of signal with start", "workflow result -w {p}s", None),
    ("start to cancel", "workflow start --type Waits -t cli -w {p}c -i \"x\"", None),
    ("query before cancel", "workflow query -w {p}c --name word", None),
    ("cancel", "workflow cancel -w {p}c", None),
    ("result of cancelled", "workflow result -w {p}c", None),
    ("cancel unknown", "workflow cancel -w {p}never", None),
    ("start to terminate", "workflow start --type Waits -t cli -w {p}t -i \"x\"", None),
    ("query before terminate", "workflow query -w {p}t --name word", None),
    ("terminate", "workflow terminate -w {p}t --reason enough", None),
    ("result of terminated", "workflow result -w {p}t", None),
    ("terminate unknown", "workflow terminate -w {p}never", None),
    ("list", "workflow list -q \"WorkflowId = '{p}a'\"", "COMPLETED"),
    ("list nothing", "workflow list -q \"WorkflowId = '{p}never'\"", None),
    ("list with bad query", "workflow list -q \"WorkflowId == == 1\"", None),
    ("list with limit", "workflow list --limit 1 -q \"WorkflowId = '{p}t'\"", "TERMINATED"),
    ("count", "workflow count -q \"WorkflowId = '{p}a'\"", '"1"'),
    ("count groups", "workflow count -q \"WorkflowId = '{p}a' GROUP BY ExecutionStatus\"", None),
    ("delete", "workflow delete -w {p}t", None),
    ("delete unknown", "workflow delete -w {p}never", None),
    ("start with open activity", "workflow start --type Open -t cli -w {p}o", None),
    ("describe open activity", "workflow describe -w {p}o", "PENDING_ACTIVITY_STATE_STARTED"),
    ("activity complete", "activity complete --activity-id act -w {p}o --result 5", None),
    ("activity complete twice", "activity complete --activity-id act -w {p}o --result 5", None),
    ("result of completed activity", "workflow result -w {p}o", None),
    ("start with activity to fail", "workflow start --type Open -t cli -w {p}p", None),
    ("describe activity to fail", "workflow describe -w {p}p", "PENDING_ACTIVITY_STATE_STARTED"),
    ("activity fail", "activity fail --activity-id act -w {p}p --reason why --detail 5", None),
    ("result of failed activity", "workflow result -w {p}p", None),
    ("start to update options", "workflow start --type Waits -t cli -w {p}q -i \"x\"", None),
    ("task queue", "task-queue describe -t cli --task-queue-type workflow", None),
    ("task queue, legacy", "task-queue describe -t cli --legacy-mode", None),
    ("namespace create", "operator namespace create -n {p}ns --description d --retention 72h", None),
    ("namespace create twice", "operator namespace create -n {p}ns", None),
    ("namespace describe", "operator namespace describe -n {p}ns", None),
    ("namespace update", "operator namespace update -n {p}ns --description e", None),
    ("namespace describe unknown", "operator namespace describe -n {p}never", None),
    ("namespace list", "operator namespace list", None),
    ("search attributes", "operator search-attribute list", None),
    ("search attribute create", "operator search-attribute create --name {q}Attr --type Keyword", None),
    ("search attribute remove", "operator search-attribute remove --name {q}Attr --yes", None),
    ("cluster health", "operator cluster health", None),
    ("cluster system", "operator cluster system", None),
    ("cluster describe", "operator cluster describe", None),
    ("deployment unknown", "worker deployment describe --name {q}Never", None),
    ("deployment without target", "worker deployment set-current-version --deployment-name {q}Dep --yes", None),
    ("deployment current", "worker deployment set-current-version --deployment-name {q}Dep --build-id b1"
     " --allow-no-pollers --yes", None),
    ("deployment ramping", "worker deployment set-ramping-version --deployment-name {q}Dep --build-id b2"
     " --percentage 12.5 --allow-no-pollers --yes", None),
    ("deployment describe", "worker deployment describe --name {q}Dep", '"rampingVersionBuildID": "b2"'),
    ("deployment list", "worker deployment list", None),
    ("version describe", "worker deployment describe-version --deployment-name {q}Dep --build-id b2", None),
    ("version metadata", "worker deployment update-metadata-version --deployment-name {q}Dep --build-id b1"
     " --metadata k=1", None),
    ("version with metadata", "worker deployment describe-version --deployment-name {q}Dep --build-id b1",
     '"metadata": {'),
    ("version unknown", "worker deployment describe-version --deployment-name {q}Dep --build-id b9", None),
    ("version delete current", "worker deployment delete-version --deployment-name {q}Dep --build-id b1", None),
    ("deployment ramp ended", "worker deployment set-ramping-version --deployment-name {q}Dep --unversioned"
     " --percentage 0 --yes", None),
    ("deployment unversioned", "worker deployment set-current-version --deployment-name {q}Dep --unversioned --yes",
     None),
    ("manager set", "worker deployment manager-identity set --deployment-name {q}Dep --manager-identity bob --yes",
     None),
    ("managed by another", "worker deployment delete-version --deployment-name {q}Dep --build-id b2"
     " --skip-drainage", None),
    ("manager unset", "worker deployment manager-identity unset --deployment-name {q}Dep --yes", None),
    ("version delete", "worker deployment delete-version --deployment-name {q}Dep --build-id b2 --skip-drainage", None),
    ("deployment delete with versions", "worker deployment delete --name {q}Dep", None),
    ("deployment in the end", "worker deployment describe --name {q}Dep", None),
    ("update options", "workflow update-options -w {p}q --versioning-override-behavior auto_upgrade", None),
    ("update options unknown", "workflow update-options -w {p}never --versioning-override-behavior auto_upgrade", None),
    ("update options without version", "workflow update-options -w {p}q --versioning-override-behavior pinned", None),
    ("unknown command", "workflow dance", None),
    ("unknown option", "workflow list --nonsense", None),
]


def split(line, prefix):
    """The words of a command line; double quotes hold spaces and stay where JSON needs them."""
    line = line.format(p=prefix, q=prefix.replace("-", "").title())
    words = re.findall(r'(?:[^\s"]|"[^"]*")+', line)
    return [w if re.fullmatch(r'(\w+=)?"\w+"', w) else w.replace('"', "") for w in words]


class Outcome:
    """How a command ended and what it printed, made comparable."""

    def __init__(self, done, prefix):
        self.fields = {"exit": "0" if done.returncode == 0 else "not 0"}
        text = done.stdout.strip()
        if done.returncode == 0 and text:
            try:
                flatten(own_part(json.loads(text), prefix), "", prefix, self.fields)
            except json.JSONDecodeError:
                self.fields["text"] = plain(text, prefix)
        self.message = plain(done.stderr.strip(), prefix)


def own_part(value, prefix):
    """Of a list of namespaces, or of worker deployments, those of this run."""
    if isinstance(value, list) and value and "routingConfig" in value[0]:
        return [one for one in value if one["name"].startswith(prefix.replace("-", "").title())]
    if isinstance(value, list) and value and "namespaceInfo" in value[0]:
        return [one for one in value if one["namespaceInfo"].get("name", "").startswith(prefix)]
    return value


def plain(text, prefix):
    text = text.replace(prefix, "<p>").replace(prefix.replace("-", "").title(), "<P>")
    return TIME.sub("<time>", ID.sub("<id>", text))


def flatten(value, path, prefix, out):
    if isinstance(value, dict):
        out[path or "."] = "{}"
        for key in value:
            flatten(value[key], f"{path}.{plain(key, prefix)}".lstrip("."), prefix, out)
    elif isinstance(value, list):
        out[path or "."] = "[]"
        for i, item in enumerate(value):
            flatten(item, f"{path}[{i}]", prefix, out)
    elif path.rsplit(".", 1)[-1] in MASKED:
        out[path] = "number" if isinstance(value, (int, float)) else type(value).__name__
    else:
        out[path] = plain(value, prefix) if isinstance(value, str) else value


def run_all(cli, address, prefix):
    """Every command of one CLI on one server: {name: Outcome}."""
    found = {}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TEMPORAL_")}
    for name, line, wanted in COMMANDS:
        command = [cli, *split(line, prefix), "--address", address, "-o", "json"]
        for _ in range(40):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment,
                                  stdin=subprocess.DEVNULL)
            if wanted is None or re.search(wanted, done.stdout):
                break
            time.sleep(0.2)
        found[name] = Outcome(done, prefix)
    return found


def differing(left, right):
    paths = sorted(set(left) | set(right))
    return [(p, left.get(p), right.get(p)) for p in paths if left.get(p) != right.get(p)]


def judge(tap, allowed, title, there, here, messages):
    """One case per command. title: `server` or `cli`, the rows' prefix."""
    for name, _, _ in COMMANDS:
        left, right = dict(there[name].fields), dict(here[name].fields)
        if messages:
            left["message"], right["message"] = there[name].message, here[name].message
        problems = []
        if left == right and left["exit"] == "not 0" and not here[name].message:
            problems.append("failed without a word")
        for path, one, other in differing(left, right):
            if not allowed.reason(f"{title}: {name}", path):
                problems.append(f"{path}: {one!r} there, {other!r} here")
        tap.case(f"{title}: {name}", problems)


@contextlib.contextmanager
def lua_worker(binary, address):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("all.lua", WORKFLOWS), ("worker.lua", WORKER)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        with servers.running([binary, "worker", "run", "--address", address, os.path.join(folder, "worker.lua")]):
            yield


def main():
    binary, official = sys.argv[1], servers.official_cli_path()
    if not official:
        print("1..1\nok 1 - official CLI # SKIP TEMPORAL_OFFICIAL_CLI is not set and there is no temporal")
        return 0
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(servers.our_server(binary))
        theirs = stack.enter_context(servers.official_dev_server(official))
        stack.enter_context(lua_worker(binary, ours))
        stack.enter_context(lua_worker(binary, theirs))
        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(run_all, *one) for one in [
                (official, ours, "wqax-"), (official, theirs, "wqbx-"), (binary, ours, "wqcx-"), (binary, theirs, "wqdx-")]]
            official_ours, official_theirs, mine_ours, mine_theirs = [run.result() for run in runs]
    tap, allowed = Tap(), Allowed("differences_cli.txt")
    judge(tap, allowed, "server", official_theirs, official_ours, True)
    judge(tap, allowed, "cli", official_ours, mine_ours, False)
    judge(tap, allowed, "cli there", official_theirs, mine_theirs, False)
    tap.case("every allowed difference occurs", allowed.unused())
    tap.plan()
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
