"""Resets with what they do to the new run, and batch operations on activities without a workflow. Part of
answers_script.py."""

from temporalio.service import RPCError

from answers_tasks import command, complete, execution, history, payloads, poll, started

AUTO_UPGRADE = {"versioningOverride": {"autoUpgrade": True}}


def options(changed, *paths):
    return {"updateWorkflowOptions": {"workflowExecutionOptions": changed, "updateMask": ",".join(paths)}}


def signal(name):
    return {"signalWorkflow": {"signalName": name, "input": payloads("1")}}


async def reset(s, step, workflow_id, *after, **more):
    return await s.call(step, "ResetWorkflowExecution", {
        "workflowExecution": {"workflowId": workflow_id}, "reason": "because", "requestId": step,
        "workflowTaskFinishEventId": 4, "postResetOperations": list(after), "identity": "me", **more})


async def waiting(s, workflow_id):
    """A workflow that has done one task and waits for a timer and has had a signal."""
    queue = {"taskQueue": {"name": workflow_id}}
    await started(s, workflow_id, **queue)
    task = await poll(s, workflow_id + ", polled", record=False, **queue)
    await complete(s, workflow_id + ", waits", task, command("timer", timerId="t", startToFireTimeout="3600s"),
                   record=False)
    await s.call("", "SignalWorkflowExecution", {
        "workflowExecution": {"workflowId": workflow_id}, "signalName": "old", "requestId": "s"}, record=False)


async def ended(s, workflow_id):
    await s.call("", "TerminateWorkflowExecution", {"workflowExecution": {"workflowId": workflow_id}}, record=False)


async def refusals(s):
    await waiting(s, "reset refused")
    bad = {
        "at no event": {"workflowTaskFinishEventId": 0},
        "at the first event": {"workflowTaskFinishEventId": 1},
        "behind the end": {"workflowTaskFinishEventId": 99},
        "of nothing": {"workflowExecution": {"workflowId": ""}},
        "of an unknown workflow": {"workflowExecution": {"workflowId": "never"}},
    }
    for name, more in bad.items():
        await reset(s, "reset " + name, "reset refused", **more)
    after = {
        "that is empty": {},
        "with an unknown path": options(AUTO_UPGRADE, "nothing"),
        "without options": {"updateWorkflowOptions": {"updateMask": "versioningOverride"}},
    }
    for name, operation in after.items():
        await reset(s, "operation " + name, "reset refused", operation)
    await s.call("reset refused, described", "DescribeWorkflowExecution", execution("reset refused"))
    await ended(s, "reset refused")


async def resets(s):
    for name, after in {
        "reset plainly": [],
        "reset with options": [options(AUTO_UPGRADE, "versioningOverride")],
        "reset with a signal": [signal("new")],
        "reset with both": [signal("new"), options(AUTO_UPGRADE, "versioningOverride")],
    }.items():
        await waiting(s, name)
        await reset(s, name + ", done", name, *after)
        await s.call(name + ", described", "DescribeWorkflowExecution", execution(name))
        await history(s, name + ", history", name)
        await ended(s, name)


async def batch(s, step, operation, query, **more):
    return await s.call(step, "StartBatchOperation", {
        "jobId": step, "reason": "because", "visibilityQuery": query, operation: {"identity": "me"}, **more})


async def batches(s):
    for name in ("b1", "b2"):
        found = await s.call("activity " + name, "StartActivityExecution", {
            "activityId": name, "activityType": {"name": "Batched"}, "taskQueue": {"name": "nobody"},
            "startToCloseTimeout": "60s", "requestId": name, "identity": "me"}, record=False)
        if isinstance(found, RPCError):
            return  # a server that is too old for them

    query = "ActivityType = 'Batched'"

    async def listed(count):
        found = await s.call("", "CountActivityExecutions", {"query": query}, record=False)
        return getattr(found, "count", None) == count

    async def over(job):
        found = await s.call("", "DescribeBatchOperation", {"jobId": job}, record=False)
        return getattr(found, "state", 1) == 2

    await s.eventually(lambda: listed(2))
    named = {"targetExecutions": [{"type": "EXECUTION_TYPE_WORKFLOW", "businessId": "b1"}]}
    await batch(s, "batch of activities with a workflow", "cancelActivitiesOperation", "", **named)
    await batch(s, "batch of nothing", "cancelActivitiesOperation", "")
    for step, operation, wanted in (
        ("batch cancels", "cancelActivitiesOperation", "ActivityId = 'b1'"),
        ("batch terminates", "terminateActivitiesOperation", "ActivityId = 'b2'"),
    ):
        await batch(s, step, operation, wanted)
        await s.eventually(lambda job=step: over(job))
        await s.call(step + ", described", "DescribeBatchOperation", {"jobId": step})
    for name in ("b1", "b2"):
        await s.call(name + " after its batch", "DescribeActivityExecution", {"activityId": name})
    await s.call("batch deletes", "StartBatchOperation", {
        "jobId": "batch deletes", "reason": "because", "visibilityQuery": query, "deleteActivitiesOperation": {}})
    await s.eventually(lambda: listed(0))
    await s.call("b1 after its deletion", "DescribeActivityExecution", {"activityId": "b1"})


async def run(s):
    """All steps, in order."""
    for part in (refusals, resets, batches):
        await part(s)
