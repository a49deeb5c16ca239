"""Requests of operators about pending activities: pause, unpause, reset, new options. Part of answers_script.py."""

from answers_tasks import activity, b64, complete, execution, history, payloads, poll, poll_activity, started

ME = {"identity": "operator"}


def which(workflow_id, **activity_of_it):
    return {**execution(workflow_id), **ME, **activity_of_it}


async def described(s, step, workflow_id):
    await s.call(step, "DescribeWorkflowExecution", execution(workflow_id))


async def scheduled(s, workflow_id, *activities):
    await started(s, workflow_id)
    task = await poll(s, workflow_id + ": its task", record=False)
    await complete(s, workflow_id + ": scheduled", task, *activities, record=False)


async def pauses(s):
    await scheduled(s, "paused one", activity())
    await s.call("activity paused", "PauseActivity", which("paused one", id="1", reason="hot", requestId="p"))
    await s.call("activity paused twice", "PauseActivity", which("paused one", id="1", requestId="q"))
    await s.call("activity paused by the same request", "PauseActivity", which("paused one", id="1", requestId="p"))
    await s.call("unknown activity paused", "PauseActivity", which("paused one", id="9"))
    await s.call("unknown type paused", "PauseActivity", which("paused one", type="Nobody"))
    await s.call("nothing paused", "PauseActivity", which("paused one"))
    await s.call("activity of unknown workflow paused", "PauseActivity", which("never", id="1"))
    await described(s, "described with paused activity", "paused one")
    await s.call("activity unpaused", "UnpauseActivity", which("paused one", id="1"))
    await s.call("activity unpaused twice", "UnpauseActivity", which("paused one", id="1"))
    await s.call("unknown activity unpaused", "UnpauseActivity", which("paused one", id="9"))
    await s.call("nothing unpaused", "UnpauseActivity", which("paused one"))
    await poll_activity(s, "activity after pause")


async def pauses_of_running(s):
    await scheduled(s, "pause requested", activity(activityType={"name": "Other"}))
    task = await poll_activity(s, "activity to be paused")
    await s.call("running activity paused", "PauseActivity", which("pause requested", type="Other"))
    token = {"taskToken": b64(task.task_token), "identity": "worker"}
    await s.call("heartbeat of paused activity", "RecordActivityTaskHeartbeat", token, details=payloads("1"))
    await described(s, "described with pause requested", "pause requested")
    failure = {"message": "no", "source": "test", "applicationFailureInfo": {"type": "T"}}
    await s.call("paused activity failed", "RespondActivityTaskFailed", token, failure=failure)
    await described(s, "described with paused retry", "pause requested")
    await s.call("attempts reset with unpause", "UnpauseActivity", which(
        "pause requested", type="Other", resetAttempts=True, resetHeartbeat=True))
    await poll_activity(s, "first attempt after pause")
    await described(s, "described after pause", "pause requested")


async def resets(s):
    await scheduled(s, "reset one", activity())
    task = await poll_activity(s, "attempt to be reset")
    token = {"taskToken": b64(task.task_token), "identity": "worker"}
    await s.call("heartbeat before reset", "RecordActivityTaskHeartbeat", token, details=payloads("1"))
    await s.call("running activity reset", "ResetActivity", which("reset one", id="1", resetHeartbeat=True))
    await s.call("heartbeat after reset", "RecordActivityTaskHeartbeat", token, details=payloads("2"))
    await described(s, "described while reset", "reset one")
    failure = {"message": "no", "source": "test", "applicationFailureInfo": {"type": "T"}}
    await s.call("reset activity failed", "RespondActivityTaskFailed", token, failure=failure)
    await described(s, "described after reset", "reset one")
    await s.call("waiting activity reset", "ResetActivity", which("reset one", id="1"))
    await poll_activity(s, "attempt after reset")
    await s.call("unknown activity reset", "ResetActivity", which("reset one", id="9"))
    await s.call("nothing reset", "ResetActivity", which("reset one"))
    await s.call("activity of unknown workflow reset", "ResetActivity", which("never", id="1"))


async def options(s):
    await scheduled(s, "changed one", activity())

    async def change(step, paths, **more):
        await s.call(step, "UpdateActivityOptions", {
            **which("changed one", id="1"), "updateMask": paths, **more})

    await change("activity options changed", "startToCloseTimeout,retryPolicy.maximumAttempts,heartbeatTimeout",
                 activityOptions={"startToCloseTimeout": "70s", "retryPolicy": {"maximumAttempts": 4},
                                  "heartbeatTimeout": "7s", "scheduleToStartTimeout": "1s"})
    await described(s, "described with changed options", "changed one")
    await change("activity queue changed", "taskQueue.name", activityOptions={"taskQueue": {"name": "tasks-2"}})
    await poll_activity(s, "activity with changed options", taskQueue={"name": "tasks-2"})
    await change("options without queue", "taskQueue.name", activityOptions={"startToCloseTimeout": "1s"})
    await change("options without policy", "retryPolicy.maximumAttempts", activityOptions={"startToCloseTimeout": "1s"})
    await change("options with negative timeout", "startToCloseTimeout", activityOptions={"startToCloseTimeout": "-1s"})
    await s.call("options without mask", "UpdateActivityOptions", {
        **which("changed one", id="1"), "activityOptions": {"startToCloseTimeout": "1s"}})
    await s.call("mask without options", "UpdateActivityOptions", {
        **which("changed one", id="1"), "updateMask": "startToCloseTimeout"})
    await s.call("options of unknown activity", "UpdateActivityOptions", {
        **which("changed one", id="9"), "updateMask": "startToCloseTimeout",
        "activityOptions": {"startToCloseTimeout": "1s"}})
    await s.call("options of nothing", "UpdateActivityOptions", {
        **which("changed one"), "updateMask": "startToCloseTimeout", "activityOptions": {"startToCloseTimeout": "1s"}})
    await s.call("options restored", "UpdateActivityOptions", {**which("changed one", id="1"), "restoreOriginal": True})
    await described(s, "described with restored options", "changed one")
    await history(s, "history with changed options", "changed one")


async def run(s):
    """All steps, in order."""
    for part in (pauses, pauses_of_running, resets, options):
        await part(s)
    for workflow_id in ("paused one", "pause requested", "reset one", "changed one"):
        await s.call("", "TerminateWorkflowExecution", {"workflowExecution": {"workflowId": workflow_id}}, record=False)
