"""The requests that answers.py sends to each server, in order. A step's name is unique; what a step needs of
earlier answers it takes from their messages, so every server gets requests of its own tokens and run ids."""

import asyncio
import base64

import answers_activities
import answers_attributes
import answers_operator
import answers_resets
import answers_tasks
import answers_time_skipping

NEVER = "00000000-0000-4000-8000-000000000000"


def b64(text):
    return base64.b64encode(text.encode()).decode()


def payloads(*texts):
    return {"payloads": [{"metadata": {"encoding": b64("json/plain")}, "data": b64(t)} for t in texts]}


def start(workflow_id, **more):
    return {
        "workflowId": workflow_id,
        "workflowType": {"name": "Compared"},
        "taskQueue": {"name": "q"},
        "identity": "compare",
        "requestId": "request of " + workflow_id,
        **more,
    }


def execution(workflow_id, run_id=""):
    return {"execution": {"workflowId": workflow_id, "runId": run_id}}


def workflow_execution(workflow_id, run_id=""):
    return {"workflowExecution": {"workflowId": workflow_id, "runId": run_id}}


async def namespaces(s):
    made = {"namespace": "compare", "workflowExecutionRetentionPeriod": "86400s", "description": "d",
            "ownerEmail": "o@example.org", "data": {"k": "v"}}
    await s.call("namespace registered", "RegisterNamespace", made)
    await s.call("namespace registered twice", "RegisterNamespace", made)
    await s.call("namespace without name", "RegisterNamespace", made, namespace="")
    await s.call("namespace with bad name", "RegisterNamespace", made, namespace="a b/c")
    await s.call("namespace without retention", "RegisterNamespace", {"namespace": "other"})
    await s.call("namespace with short retention", "RegisterNamespace", made, namespace="other",
                 workflowExecutionRetentionPeriod="60s")
    await s.call("namespace described", "DescribeNamespace")
    await s.call("unknown namespace described", "DescribeNamespace", {"namespace": "nowhere"})
    await s.call("unknown namespace id described", "DescribeNamespace", {"namespace": "", "id": NEVER})
    await s.call("nothing described", "DescribeNamespace", {"namespace": ""})
    await s.call("namespace updated", "UpdateNamespace", {
        "updateInfo": {"description": "new", "data": {"k2": "v2"}},
        "config": {"workflowExecutionRetentionTtl": "172800s"},
    })
    await s.call("unknown namespace updated", "UpdateNamespace", {
        "namespace": "nowhere", "updateInfo": {"description": "new"}})
    await s.call("updated namespace described", "DescribeNamespace")


async def wait_for_namespace(s):
    """The real server's parts know a new namespace after some seconds."""
    async def started():
        found = await s.call("", "StartWorkflowExecution", start("warm-up"), record=False)
        return getattr(found, "run_id", None)

    await s.eventually(started)
    await s.call("", "TerminateWorkflowExecution", workflow_execution("warm-up"), record=False)

    async def listed():
        found = await s.call("", "CountWorkflowExecutions", record=False)
        return getattr(found, "count", None)

    await s.eventually(listed)


async def system(s):
    await s.call("system", "GetSystemInfo")
    await s.call("cluster", "GetClusterInfo")


async def starts(s):
    first = await s.call("start", "StartWorkflowExecution", start(
        "a", input=payloads("1"), memo={"fields": {"m": payloads("2")["payloads"][0]}},
        header={"fields": {"h": payloads("3")["payloads"][0]}}, workflowRunTimeout="60s",
        workflowExecutionTimeout="120s", workflowTaskTimeout="5s",
        retryPolicy={"initialInterval": "1s", "maximumAttempts": 2}))
    bad = [
        ("start without workflow id", {"workflowId": ""}),
        ("start without type", {"workflowType": None}),
        ("start without task queue", {"taskQueue": None}),
        ("start with empty task queue", {"taskQueue": {"name": ""}}),
        ("start with system task queue", {"taskQueue": {"name": "/_sys/x"}}),
        ("start with long workflow id", {"workflowId": "x" * 1001}),
        ("start with long type", {"workflowType": {"name": "x" * 1001}}),
        ("start with long task queue", {"taskQueue": {"name": "x" * 1001}}),
        ("start with long request id", {"requestId": "x" * 1001}),
        ("start in no namespace", {"namespace": ""}),
        ("start in unknown namespace", {"namespace": "nowhere"}),
        ("start with negative run timeout", {"workflowRunTimeout": "-1s"}),
        ("start with negative execution timeout", {"workflowExecutionTimeout": "-1s"}),
        ("start with negative task timeout", {"workflowTaskTimeout": "-1s"}),
        ("start with negative delay", {"workflowStartDelay": "-1s"}),
        ("start with delay and cron", {"workflowStartDelay": "5s", "cronSchedule": "* * * * *"}),
        ("start with bad cron", {"cronSchedule": "every day"}),
        ("start with bad coefficient", {"retryPolicy": {"backoffCoefficient": 0.5}}),
        ("start with negative attempts", {"retryPolicy": {"maximumAttempts": -1}}),
        ("start with negative interval", {"retryPolicy": {"initialInterval": "-1s"}}),
        ("start with maximum below initial interval", {
            "retryPolicy": {"initialInterval": "10s", "maximumInterval": "1s"}}),
        ("start with unknown search attribute", {"searchAttributes": {
            "indexedFields": {"Nothing": payloads("1")["payloads"][0]}}}),
        ("start with both policies", {"workflowIdReusePolicy": "WORKFLOW_ID_REUSE_POLICY_TERMINATE_IF_RUNNING",
                                      "workflowIdConflictPolicy": "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"}),
        ("start that is too large", {"input": payloads('"' + "x" * 2_200_000 + '"')}),
    ]
    for step, change in bad:
        fields = {k: v for k, v in {**start("bad"), **change}.items() if v is not None}
        await s.call(step, "StartWorkflowExecution", fields)
    await s.call("start again with the same request id", "StartWorkflowExecution", start("a"))
    await s.call("start again", "StartWorkflowExecution", start("a", requestId="another"))
    await s.call("start again, use existing", "StartWorkflowExecution", start(
        "a", requestId="third", workflowIdConflictPolicy="WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"))
    await s.call("described without a task", "DescribeWorkflowExecution", execution("a"))
    await s.call("described by run", "DescribeWorkflowExecution", execution("a", first.run_id))
    await s.call("unknown id described", "DescribeWorkflowExecution", execution("never"))
    await s.call("unknown run described", "DescribeWorkflowExecution", execution("a", NEVER))
    await s.call("malformed run described", "DescribeWorkflowExecution", execution("a", "no uuid"))
    await s.call("nothing described at all", "DescribeWorkflowExecution")
    await s.call("no id described", "DescribeWorkflowExecution", execution(""))
    await asyncio.sleep(1.2)  # an id may be used again a second after its last start
    await s.call("start again, terminate existing", "StartWorkflowExecution", start(
        "a", requestId="fourth", workflowIdConflictPolicy="WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING"))
    await s.call("terminated one described", "DescribeWorkflowExecution", execution("a", first.run_id))
    await s.call("terminated one's history", "GetWorkflowExecutionHistory", execution("a", first.run_id))


async def policies(s):
    await s.call("start of reused id", "StartWorkflowExecution", start("reuse"))
    await asyncio.sleep(1.2)
    await s.call("terminate", "TerminateWorkflowExecution", {
        **workflow_execution("reuse"), "reason": "enough", "details": payloads("9"), "identity": "me"})
    await s.call("terminate twice", "TerminateWorkflowExecution", workflow_execution("reuse"))
    await s.call("terminate unknown", "TerminateWorkflowExecution", workflow_execution("never"))
    await s.call("terminate without id", "TerminateWorkflowExecution", workflow_execution(""))
    await s.call("terminate with other first run", "TerminateWorkflowExecution", {
        **workflow_execution("a"), "firstExecutionRunId": NEVER})
    await s.call("terminated history", "GetWorkflowExecutionHistory", execution("reuse"))
    await s.call("start again, reject duplicate", "StartWorkflowExecution", start(
        "reuse", requestId="2", workflowIdReusePolicy="WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE"))
    await s.call("start again, failed only", "StartWorkflowExecution", start(
        "reuse", requestId="3", workflowIdReusePolicy="WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY"))
    await s.call("started after failed only", "DescribeWorkflowExecution", execution("reuse"))
    await s.call("signal with start of a new id", "SignalWithStartWorkflowExecution", start(
        "sws", signalName="go", signalInput=payloads("5")))
    await s.call("signal with start of a running id", "SignalWithStartWorkflowExecution", start(
        "sws", requestId="2", signalName="go", signalInput=payloads("6")))
    await s.call("signal with start without signal", "SignalWithStartWorkflowExecution", start("sws2"))
    await s.call("signal with start without type", "SignalWithStartWorkflowExecution", start(
        "sws2", signalName="go", workflowType={"name": ""}))
    await s.call("signal with start's history", "GetWorkflowExecutionHistory", execution("sws"))
    await s.call("delayed start", "StartWorkflowExecution", start("delayed", workflowStartDelay="3600s"))
    await s.call("delayed described", "DescribeWorkflowExecution", execution("delayed"))
    await s.call("delayed history", "GetWorkflowExecutionHistory", execution("delayed"))
    await s.call("cron start", "StartWorkflowExecution", start("cron", cronSchedule="0 0 1 1 *"))
    await s.call("cron history's type", "GetWorkflowExecutionHistory", execution("never"))


async def messages(s):
    run = await s.call("start for messages", "StartWorkflowExecution", start("m"))
    signal = {**workflow_execution("m"), "signalName": "go", "input": payloads("1"), "identity": "me",
              "requestId": "r1", "header": {"fields": {"h": payloads("2")["payloads"][0]}}}
    await s.call("signal", "SignalWorkflowExecution", signal)
    await s.call("signal with the same request id", "SignalWorkflowExecution", signal)
    await s.call("signal by run", "SignalWorkflowExecution", signal, requestId="r2",
                 workflowExecution={"workflowId": "m", "runId": run.run_id})
    await s.call("signal without name", "SignalWorkflowExecution", signal, signalName="")
    await s.call("signal with long name", "SignalWorkflowExecution", signal, signalName="x" * 1001)
    await s.call("signal without execution", "SignalWorkflowExecution", {"signalName": "go"})
    await s.call("signal to unknown", "SignalWorkflowExecution", signal, **workflow_execution("never"))
    await s.call("signal to unknown run", "SignalWorkflowExecution", signal, **workflow_execution("m", NEVER))
    await s.call("signal to malformed run", "SignalWorkflowExecution", signal, **workflow_execution("m", "no"))
    await s.call("signal to closed", "SignalWorkflowExecution", signal, **workflow_execution("a-closed"))
    await s.call("signal in unknown namespace", "SignalWorkflowExecution", signal, namespace="nowhere")
    cancel = {**workflow_execution("m"), "identity": "me", "requestId": "c1", "reason": "why"}
    await s.call("cancel", "RequestCancelWorkflowExecution", cancel)
    await s.call("cancel with the same request id", "RequestCancelWorkflowExecution", cancel)
    await s.call("cancel again", "RequestCancelWorkflowExecution", cancel, requestId="c2")
    await s.call("cancel unknown", "RequestCancelWorkflowExecution", cancel, **workflow_execution("never"))
    await s.call("cancel with other first run", "RequestCancelWorkflowExecution", cancel, requestId="c3",
                 firstExecutionRunId=NEVER)
    await s.call("history of messages", "GetWorkflowExecutionHistory", execution("m"))
    await s.call("messages described", "DescribeWorkflowExecution", execution("m"))
    await s.call("", "TerminateWorkflowExecution", workflow_execution("m"), record=False)
    await s.call("cancel closed", "RequestCancelWorkflowExecution", cancel, requestId="c4")
    await s.call("signal to closed run", "SignalWorkflowExecution", signal, requestId="r3")


async def histories(s):
    page = {**execution("m"), "maximumPageSize": 2}
    first = await s.call("history, first page", "GetWorkflowExecutionHistory", page)
    token = base64.b64encode(first.next_page_token).decode()
    await s.call("history, second page", "GetWorkflowExecutionHistory", page, nextPageToken=token)
    await s.call("history of close event", "GetWorkflowExecutionHistory", {
        **execution("m"), "historyEventFilterType": "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"})
    await s.call("history awaited of closed", "GetWorkflowExecutionHistory", {
        **execution("m"), "waitNewEvent": True,
        "historyEventFilterType": "HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT"})
    await s.call("history with bad token", "GetWorkflowExecutionHistory", page, nextPageToken=b64("nonsense"))
    await s.call("history with another's token", "GetWorkflowExecutionHistory", {
        **execution("sws"), "nextPageToken": token})
    await s.call("history of unknown run", "GetWorkflowExecutionHistory", execution("m", NEVER))
    await s.call("history of malformed run", "GetWorkflowExecutionHistory", execution("m", "no"))
    await s.call("history of nothing", "GetWorkflowExecutionHistory")
    reverse = {**execution("m"), "maximumPageSize": 3}
    last = await s.call("reverse history", "GetWorkflowExecutionHistoryReverse", reverse)
    await s.call("reverse history, second page", "GetWorkflowExecutionHistoryReverse", reverse,
                 nextPageToken=base64.b64encode(last.next_page_token).decode())
    await s.call("reverse history of unknown", "GetWorkflowExecutionHistoryReverse", execution("never"))


async def visibility(s):
    async def closed_are_listed():
        found = await s.call("", "CountWorkflowExecutions", record=False,
                             query="WorkflowId = 'm' AND ExecutionStatus = 'Terminated'")
        return found.count == 1

    await s.eventually(closed_are_listed)
    for step, query in [
        ("one id", "WorkflowId = 'm'"),
        ("order by", "WorkflowId = 'm' ORDER BY StartTime DESC"),
        ("two conditions", "WorkflowType = 'Compared' AND ExecutionStatus = 'Running' AND WorkflowId = 'sws'"),
        ("in list", "WorkflowId IN ('m', 'never')"),
        ("prefix", "WorkflowId STARTS_WITH 'sw'"),
        ("times", "StartTime > '2020-01-01T00:00:00Z' AND WorkflowId = 'm' AND CloseTime IS NOT NULL"),
        ("between", "HistoryLength BETWEEN 1 AND 1000 AND WorkflowId = 'm'"),
        ("or and not", "(WorkflowId = 'm' OR WorkflowId = 'never') AND NOT ExecutionStatus = 'Running'"),
        ("nothing found", "WorkflowId = 'never'"),
        ("syntax error", "WorkflowId = = 'm'"),
        ("unknown attribute", "Nothing = 'm'"),
        ("wrong type", "HistoryLength = 'long'"),
        ("unknown status", "ExecutionStatus = 'Sleeping'"),
    ]:
        await s.call("list: " + step, "ListWorkflowExecutions", query=query)
        await s.call("count: " + step, "CountWorkflowExecutions", query=query.split(" ORDER BY")[0])
    await s.call("list with page size", "ListWorkflowExecutions", query="WorkflowId = 'm'", pageSize=1)
    await s.call("list with bad token", "ListWorkflowExecutions", nextPageToken=b64("nonsense"))
    await s.call("list in unknown namespace", "ListWorkflowExecutions", namespace="nowhere")
    await s.call("count by group", "CountWorkflowExecutions",
                 query="WorkflowId = 'm' GROUP BY ExecutionStatus")
    await s.call("count by two groups", "CountWorkflowExecutions",
                 query="GROUP BY ExecutionStatus, WorkflowType")
    await s.call("scan", "ScanWorkflowExecutions", query="WorkflowId = 'm'")
    window = {"earliestTime": "2020-01-01T00:00:00Z", "latestTime": "2100-01-01T00:00:00Z"}
    await s.call("open ones by id", "ListOpenWorkflowExecutions", startTimeFilter=window,
                 executionFilter={"workflowId": "sws"})
    await s.call("open ones without times", "ListOpenWorkflowExecutions",
                 executionFilter={"workflowId": "sws"})
    await s.call("closed ones by id", "ListClosedWorkflowExecutions", startTimeFilter=window,
                 executionFilter={"workflowId": "m"})
    await s.call("closed ones by status", "ListClosedWorkflowExecutions", startTimeFilter=window,
                 statusFilter={"status": "WORKFLOW_EXECUTION_STATUS_COMPLETED"})


async def deletes(s):
    await s.call("start to delete", "StartWorkflowExecution", start("gone"))
    await s.call("delete unknown", "DeleteWorkflowExecution", workflow_execution("never"))
    await s.call("delete without id", "DeleteWorkflowExecution", workflow_execution(""))
    await s.call("delete", "DeleteWorkflowExecution", workflow_execution("gone"))

    async def is_gone():
        found = await s.call("", "DescribeWorkflowExecution", execution("gone"), record=False)
        return isinstance(found, Exception)

    await s.eventually(is_gone)
    await s.call("deleted described", "DescribeWorkflowExecution", execution("gone"))


async def run(s):
    """All steps, in order."""
    await namespaces(s)
    await wait_for_namespace(s)
    for part in (system, starts, policies, messages, histories, visibility, deletes):
        await part(s)
    await answers_attributes.run(s)
    await answers_tasks.run(s)
    await answers_activities.run(s)
    await answers_time_skipping.run(s)
    await answers_resets.run(s)
    await answers_operator.run(s)  # takes the namespace away
