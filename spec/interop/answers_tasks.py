"""Requests of workers: tasks polled, completed, failed; queries; task queues. Part of answers_script.py."""

import asyncio
import base64

QUEUE = {"taskQueue": {"name": "tasks"}, "identity": "worker"}
KINDS = {
    "schedule": "COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK", "timer": "COMMAND_TYPE_START_TIMER",
    "complete": "COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION", "fail": "COMMAND_TYPE_FAIL_WORKFLOW_EXECUTION",
    "cancel": "COMMAND_TYPE_CANCEL_WORKFLOW_EXECUTION", "cancelTimer": "COMMAND_TYPE_CANCEL_TIMER",
    "cancelActivity": "COMMAND_TYPE_REQUEST_CANCEL_ACTIVITY_TASK", "marker": "COMMAND_TYPE_RECORD_MARKER",
    "continue": "COMMAND_TYPE_CONTINUE_AS_NEW_WORKFLOW_EXECUTION",
    "memo": "COMMAND_TYPE_MODIFY_WORKFLOW_PROPERTIES",
}
ATTRIBUTES = {
    "schedule": "scheduleActivityTask", "timer": "startTimer", "complete": "completeWorkflowExecution",
    "fail": "failWorkflowExecution", "cancel": "cancelWorkflowExecution", "cancelTimer": "cancelTimer",
    "cancelActivity": "requestCancelActivityTask", "marker": "recordMarker",
    "continue": "continueAsNewWorkflowExecution", "memo": "modifyWorkflowProperties",
}


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


def payloads(text):
    return {"payloads": [{"metadata": {"encoding": b64("json/plain")}, "data": b64(text)}]}


def command(kind, **attributes):
    return {"commandType": KINDS[kind], ATTRIBUTES[kind] + "CommandAttributes": attributes}


def activity(**more):
    return command("schedule", **{
        "activityId": "1", "activityType": {"name": "Act"}, "taskQueue": {"name": "tasks"},
        "startToCloseTimeout": "30s", "scheduleToCloseTimeout": "300s", "heartbeatTimeout": "20s", **more})


def execution(workflow_id):
    return {"execution": {"workflowId": workflow_id}}


async def started(s, step, **more):
    return await s.call(step, "StartWorkflowExecution", {
        "workflowId": step, "workflowType": {"name": "Tasks"}, "taskQueue": {"name": "tasks"},
        "requestId": step, **more})


async def poll(s, step, record=True, **more):
    return await s.call(step, "PollWorkflowTaskQueue", {**QUEUE, **more}, record=record)


async def complete(s, step, task, *commands, record=True, **more):
    return await s.call(step, "RespondWorkflowTaskCompleted", {
        "taskToken": b64(task.task_token), "identity": "worker", "commands": list(commands), **more},
        record=record)


async def poll_activity(s, step, **more):
    return await s.call(step, "PollActivityTaskQueue", {**QUEUE, **more})


async def history(s, step, workflow_id):
    await s.call(step, "GetWorkflowExecutionHistory", execution(workflow_id))


async def first_tasks(s):
    await poll(s, "poll without queue", taskQueue={"name": ""})
    await poll(s, "poll in unknown namespace", namespace="nowhere")
    await started(s, "tasks 1", input=payloads("1"))
    task = await poll(s, "first workflow task")
    await s.call("described with started task", "DescribeWorkflowExecution", execution("tasks 1"))
    sdk = {"sdkMetadata": {"langUsedFlags": [1], "coreUsedFlags": [2], "sdkName": "n", "sdkVersion": "v"},
           "meteringMetadata": {"nonfirstLocalActivityExecutionAttempts": 1}}
    await complete(s, "activity, timer and marker", task, activity(), command(
        "timer", timerId="t", startToFireTimeout="3600s"), command(
        "marker", markerName="m", details={"k": payloads("1")}), command(
        "memo", upsertedMemo={"fields": {"k": payloads("2")["payloads"][0]}}), **sdk)
    await complete(s, "completed twice", task, activity(activityId="2"))
    await s.call("described with pending activity", "DescribeWorkflowExecution", execution("tasks 1"))
    await history(s, "history after first task", "tasks 1")


async def activities(s):
    task = await poll_activity(s, "activity task")
    token = {"taskToken": b64(task.task_token), "identity": "worker"}
    await s.call("heartbeat", "RecordActivityTaskHeartbeat", token, details=payloads("1"))
    await s.call("heartbeat by id", "RecordActivityTaskHeartbeatById", {
        "workflowId": "tasks 1", "activityId": "1", "details": payloads("2"), "identity": "worker"})
    await s.call("heartbeat of unknown id", "RecordActivityTaskHeartbeatById", {
        "workflowId": "tasks 1", "activityId": "9"})
    await s.call("heartbeat of unknown workflow", "RecordActivityTaskHeartbeatById", {
        "workflowId": "never", "activityId": "9"})
    await s.call("heartbeat without ids", "RecordActivityTaskHeartbeatById", {"activityId": "9"})
    await s.call("described with heartbeat", "DescribeWorkflowExecution", execution("tasks 1"))
    failure = {"message": "not yet", "source": "test", "applicationFailureInfo": {"type": "T"}}
    await s.call("activity failed, to be retried", "RespondActivityTaskFailed", token, failure=failure)
    await s.call("activity failed twice", "RespondActivityTaskFailed", token, failure=failure)
    await s.call("heartbeat after failure", "RecordActivityTaskHeartbeat", token)
    task = await poll_activity(s, "second attempt")
    await s.call("described in second attempt", "DescribeWorkflowExecution", execution("tasks 1"))
    token = {"taskToken": b64(task.task_token), "identity": "worker"}
    await s.call("cancelled without request", "RespondActivityTaskCanceled", token)
    await s.call("activity completed", "RespondActivityTaskCompleted", token, result=payloads("3"))
    await s.call("activity completed twice", "RespondActivityTaskCompleted", token, result=payloads("3"))
    for rpc in ("RespondActivityTaskCompleted", "RespondActivityTaskFailed", "RespondActivityTaskCanceled",
                "RecordActivityTaskHeartbeat"):
        await s.call("bad token: " + rpc, rpc, {"taskToken": b64("nonsense")})
        await s.call("no token: " + rpc, rpc, {})
    for rpc in ("RespondActivityTaskCompletedById", "RespondActivityTaskFailedById",
                "RespondActivityTaskCanceledById"):
        await s.call("unknown id: " + rpc, rpc, {"workflowId": "tasks 1", "activityId": "9"})
        await s.call("unknown workflow: " + rpc, rpc, {"workflowId": "never", "activityId": "9"})
        await s.call("no id: " + rpc, rpc, {"workflowId": "tasks 1"})
    await history(s, "history after activity", "tasks 1")


async def by_id(s):
    task = await poll(s, "task after activity")
    await complete(s, "three activities", task, *(activity(activityId=i) for i in "345"),
                   command("cancelTimer", timerId="t"))
    for i in range(3):
        # Their order is the matching's own affair.
        await s.call(f"one of three {i}", "PollActivityTaskQueue", QUEUE, record=False)
    await s.call("completed by id", "RespondActivityTaskCompletedById", {
        "workflowId": "tasks 1", "activityId": "3", "result": payloads("3"), "identity": "w"})
    await s.call("failed by id", "RespondActivityTaskFailedById", {
        "workflowId": "tasks 1", "activityId": "4", "identity": "w",
        "failure": {"message": "no", "applicationFailureInfo": {"type": "T", "nonRetryable": True}}})
    await s.call("cancel for activity", "RequestCancelWorkflowExecution", {
        "workflowExecution": {"workflowId": "tasks 1"}, "identity": "me", "requestId": "c"})
    task = await poll(s, "task with two results and cancel request")
    scheduled = [e.event_id for e in task.history.events
                 if e.activity_task_scheduled_event_attributes.activity_id == "5"]
    await complete(s, "cancel of activity 5", task, command("cancelActivity", scheduledEventId=str(scheduled[0])))
    await history(s, "history with cancel request", "tasks 1")
    await s.call("heartbeat tells of cancel", "RecordActivityTaskHeartbeatById", {
        "workflowId": "tasks 1", "activityId": "5"})
    await s.call("cancelled by id", "RespondActivityTaskCanceledById", {
        "workflowId": "tasks 1", "activityId": "5", "details": payloads("7"), "identity": "w"})
    task = await poll(s, "task after cancel")
    await complete(s, "workflow cancelled", task, command("cancel", details=payloads("8")))
    await history(s, "history of cancelled", "tasks 1")
    await s.call("cancelled described", "DescribeWorkflowExecution", execution("tasks 1"))


BAD_COMMANDS = [
    ("activity without id", activity(activityId="")),
    ("activity without type", activity(activityType={"name": ""})),
    ("activity without queue", activity(taskQueue={"name": ""})),
    ("activity without timeouts", activity(startToCloseTimeout="0s", scheduleToCloseTimeout="0s")),
    ("activity with negative timeout", activity(heartbeatTimeout="-1s")),
    ("activity with bad coefficient", activity(retryPolicy={"backoffCoefficient": 0.1})),
    ("activity with long id", activity(activityId="x" * 1001)),
    ("timer without id", command("timer", startToFireTimeout="1s")),
    ("timer with negative time", command("timer", timerId="x", startToFireTimeout="-1s")),
    ("unknown timer cancelled", command("cancelTimer", timerId="never")),
    ("timer cancelled without id", command("cancelTimer", timerId="")),
    ("unknown activity cancelled", command("cancelActivity", scheduledEventId="99")),
    ("marker without name", command("marker", details={"k": payloads("1")})),
    ("failure without failure", command("fail")),
    ("continue with negative timeout", command("continue", workflowRunTimeout="-1s")),
    ("unknown command", {"commandType": "COMMAND_TYPE_UNSPECIFIED"}),
    ("empty memo", command("memo")),
]


async def bad_commands(s):
    for name, bad in BAD_COMMANDS:
        workflow_id = "bad " + name
        await started(s, workflow_id)
        task = await poll(s, "", record=False)
        await complete(s, "completed with " + name, task, bad)
        await history(s, "history with " + name, workflow_id)
        await s.call("", "TerminateWorkflowExecution", {
            "workflowExecution": {"workflowId": workflow_id}}, record=False)
    await started(s, "twice the same")
    task = await poll(s, "", record=False)
    await complete(s, "two timers of one id", task, *[command("timer", timerId="t", startToFireTimeout="9s")] * 2)
    task = await poll(s, "task after failed task")
    await complete(s, "two activities of one id", task, activity(), activity())
    await history(s, "history of twice the same", "twice the same")
    await s.call("", "TerminateWorkflowExecution", {
        "workflowExecution": {"workflowId": "twice the same"}}, record=False)


async def task_failures(s):
    await started(s, "failing task")
    task = await poll(s, "task to fail")
    await s.call("task failed", "RespondWorkflowTaskFailed", {
        "taskToken": b64(task.task_token), "identity": "worker",
        "cause": "WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE",
        "failure": {"message": "bug", "applicationFailureInfo": {"type": "Bug"}}})
    await s.call("task failed twice", "RespondWorkflowTaskFailed", {"taskToken": b64(task.task_token)})
    for rpc in ("RespondWorkflowTaskFailed", "RespondWorkflowTaskCompleted", "RespondQueryTaskCompleted"):
        await s.call("bad token: " + rpc, rpc, {"taskToken": b64("nonsense")})
        await s.call("no token: " + rpc, rpc, {})
    task = await poll(s, "second attempt of task")
    await s.call("described in second attempt of task", "DescribeWorkflowExecution", execution("failing task"))
    await s.call("signal while task runs", "SignalWorkflowExecution", {
        "workflowExecution": {"workflowId": "failing task"}, "signalName": "go", "requestId": "g"})
    await complete(s, "completed with unhandled signal", task, command("complete", result=payloads("1")))
    task = await poll(s, "task after unhandled command")
    await complete(s, "completed at last", task, command("complete", result=payloads("2")))
    await history(s, "history of failed tasks", "failing task")
    await s.call("completed described", "DescribeWorkflowExecution", execution("failing task"))


async def sticky(s):
    sticky_queue = {"stickyAttributes": {
        "workerTaskQueue": {"name": "sticky", "kind": "TASK_QUEUE_KIND_STICKY", "normalName": "tasks"},
        "scheduleToStartTimeout": "10s"}}
    await started(s, "sticky one")
    task = await poll(s, "", record=False)
    await complete(s, "sticky completion with new task", task, forceCreateNewWorkflowTask=True,
                   returnNewWorkflowTask=True, **sticky_queue)
    await history(s, "history with forced task", "sticky one")
    await s.call("sticky reset", "ResetStickyTaskQueue", execution("sticky one"))
    await s.call("sticky reset of unknown", "ResetStickyTaskQueue", execution("never"))
    await s.call("", "TerminateWorkflowExecution", {
        "workflowExecution": {"workflowId": "sticky one"}}, record=False)


async def endings(s):
    await started(s, "continued")
    task = await poll(s, "", record=False)
    await complete(s, "continue as new", task, command(
        "continue", workflowType={"name": "Tasks"}, taskQueue={"name": "tasks"}, input=payloads("2"),
        initiator="CONTINUE_AS_NEW_INITIATOR_WORKFLOW"))
    task = await poll(s, "task of continued run")
    await complete(s, "failed", task, command("fail", failure={
        "message": "over", "applicationFailureInfo": {"type": "Over", "nonRetryable": True}}))
    await history(s, "history of failed", "continued")
    await s.call("failed described", "DescribeWorkflowExecution", execution("continued"))
    await started(s, "retried", retryPolicy={"initialInterval": "1s", "maximumAttempts": 2})
    task = await poll(s, "", record=False)
    await complete(s, "failed with retry", task, command("fail", failure={
        "message": "again", "applicationFailureInfo": {"type": "Again"}}))
    await history(s, "history of second attempt", "retried")
    task = await poll(s, "task of second attempt of run")
    await complete(s, "failed again", task, command("fail", failure={
        "message": "again", "applicationFailureInfo": {"type": "Again"}}))
    await history(s, "history of last attempt", "retried")


async def queries(s):
    query = {**execution("queried"), "query": {"queryType": "state", "queryArgs": payloads("1")}}
    await s.call("query unknown", "QueryWorkflow", {**query, **execution("never")})
    await s.call("query without id", "QueryWorkflow", {**query, **execution("")})
    await s.call("query without query", "QueryWorkflow", execution("queried"))
    await started(s, "queried")
    task = await poll(s, "", record=False)
    await complete(s, "waits for queries", task, command("timer", timerId="t", startToFireTimeout="3600s"))

    async def ask(step, answer, **more):
        asked = asyncio.create_task(s.call(step, "QueryWorkflow", {**query, **more}))
        task = await poll(s, step + ": its task")
        await s.call(step + ": its answer", "RespondQueryTaskCompleted", {
            "taskToken": b64(task.task_token), **answer})
        await asked

    await ask("query answered", {"completedType": "QUERY_RESULT_TYPE_ANSWERED", "queryResult": payloads("5")})
    await ask("query failed", {"completedType": "QUERY_RESULT_TYPE_FAILED", "errorMessage": "no such query",
                               "failure": {"message": "no such query", "applicationFailureInfo": {}}})
    await s.call("", "TerminateWorkflowExecution", {
        "workflowExecution": {"workflowId": "queried"}}, record=False)
    await s.call("query rejected", "QueryWorkflow", {
        **query, "queryRejectCondition": "QUERY_REJECT_CONDITION_NOT_OPEN"})
    await ask("closed one queried", {"completedType": "QUERY_RESULT_TYPE_ANSWERED", "queryResult": payloads("6")})
    await started(s, "never ran")
    await s.call("", "TerminateWorkflowExecution", {
        "workflowExecution": {"workflowId": "never ran"}}, record=False)
    await s.call("query of one that never ran", "QueryWorkflow", {**query, **execution("never ran")})


async def task_queues(s):
    for step, fields in [
        ("queue with pollers", {"taskQueue": {"name": "tasks"}, "taskQueueType": "TASK_QUEUE_TYPE_WORKFLOW"}),
        ("queue of activities", {"taskQueue": {"name": "tasks"}, "taskQueueType": "TASK_QUEUE_TYPE_ACTIVITY"}),
        ("idle queue", {"taskQueue": {"name": "idle"}, "taskQueueType": "TASK_QUEUE_TYPE_WORKFLOW"}),
        ("queue with stats", {"taskQueue": {"name": "idle"}, "reportStats": True}),
        ("queue without name", {}),
    ]:
        await s.call(step, "DescribeTaskQueue", fields)
    await s.call("worker shut down", "ShutdownWorker", {
        "stickyTaskQueue": "sticky", "identity": "worker", "reason": "done"})


async def run(s):
    """All steps, in order."""
    for part in (first_tasks, activities, by_id, bad_commands, task_failures, sticky, endings, queries,
                 task_queues):
        await part(s)
