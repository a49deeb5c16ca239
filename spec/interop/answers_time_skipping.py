"""Workflows that skip time by themselves: what is refused, events, descriptions, fast forwards and polls for them. Part
of answers_script.py."""

from temporalio.service import RPCError

from answers_tasks import activity, b64, command, complete, execution, history, poll, poll_activity, started

NEXT = {"taskQueue": {"name": "skipped"}}
FAR = command("timer", timerId="far", startToFireTimeout="86400s")


def config(**more):
    return {"timeSkippingConfig": {"enabled": True, **more}}


def forward(name, duration, **more):
    return config(fastForwardConfig={"id": name, "duration": duration}, **more)


async def start(s, step, **more):
    return await started(s, step, **{**NEXT, **more})


async def task(s, step, *commands):
    """One workflow task of the queue of these steps, which is not compared."""
    got = await poll(s, step + ", polled", record=False, **NEXT)
    return await complete(s, step, got, *commands)


async def poll_for(s, step, workflow_id, name, **more):
    return await s.call(step, "PollWorkflowExecutionTimeSkipping", {
        "workflowExecution": {"workflowId": workflow_id}, "fastForwardId": name, **more}, timeout=40)


async def change(s, step, workflow_id, options, *paths):
    return await s.call(step, "UpdateWorkflowExecutionOptions", {
        "workflowExecution": {"workflowId": workflow_id}, "workflowExecutionOptions": options,
        "updateMask": ",".join(paths), "identity": "me"})


async def refusals(s):
    bad = {
        "duration of nothing": forward("f", "0s"),
        "duration back": forward("f", "-5s"),
        "no id": forward("", "5s"),
        "blank id": forward("  ", "5s"),
        "fast forward while off": {"timeSkippingConfig": {
            "enabled": False, "fastForwardConfig": {"id": "f", "duration": "5s"}}},
    }
    for name, options in bad.items():
        await start(s, f"skip, {name}", **options)
        await s.call(f"signal with start, skip, {name}", "SignalWithStartWorkflowExecution", {
            "workflowId": "x", "workflowType": {"name": "T"}, "signalName": "s", "requestId": "r", **NEXT, **options})
        await change(s, f"options, skip, {name}", "tasks 1", options, "timeSkippingConfig")
    await poll_for(s, "poll without fast forward", "tasks 1", "")
    await poll_for(s, "poll of an unknown workflow", "never", "f")
    await poll_for(s, "poll without workflow", "", "f")


async def jumps(s):
    await start(s, "skips", **config())
    await s.call("skips, described at first", "DescribeWorkflowExecution", execution("skips"))
    await task(s, "skips a day", FAR)
    got = await poll(s, "task a day later", **NEXT)
    ahead = got.history.events[-1].event_time.seconds - got.history.events[0].event_time.seconds
    assert 86400 <= ahead < 86500, ahead
    await complete(s, "activity after the day", got, activity(
        taskQueue=NEXT["taskQueue"], scheduleToCloseTimeout="90000s", retryPolicy={
            "initialInterval": "3600s", "maximumAttempts": 3}))
    failed = await poll_activity(s, "activity of the run that skips", **NEXT)
    await s.call("it fails", "RespondActivityTaskFailed", {
        "taskToken": token(failed), "failure": {"message": "no", "applicationFailureInfo": {"type": "T"}}})
    again = await poll_activity(s, "its second attempt an hour later", **NEXT)
    await s.call("it completes", "RespondActivityTaskCompleted", {"taskToken": token(again)})
    await task(s, "skips, completed", command("complete"))
    await history(s, "history with jumps", "skips")
    await s.call("skips, described at last", "DescribeWorkflowExecution", execution("skips"))


def token(task):
    return b64(task.task_token)


async def bounds(s):
    await start(s, "two jumps", **config(maxSessionSkipCount=2))
    for i in range(2):
        await task(s, f"jump {i}", command("timer", timerId=str(i), startToFireTimeout="60s"))
    await task(s, "no third jump", FAR)
    await s.call("two jumps, described", "DescribeWorkflowExecution", execution("two jumps"))
    await history(s, "history with two jumps", "two jumps")
    await start(s, "delayed", workflowStartDelay="3600s", **config())
    await task(s, "delayed, completed", command("complete"))
    await history(s, "history with a delay skipped", "delayed")
    await start(s, "times out", workflowRunTimeout="7200s", **config())
    await task(s, "waits for nothing")
    await s.eventually(lambda: closed(s, "times out"))
    await history(s, "history with a timeout skipped to", "times out")


async def closed(s, workflow_id):
    answer = await s.call("-", "DescribeWorkflowExecution", execution(workflow_id), record=False)
    return answer.workflow_execution_info.status != 1


async def fast_forwards(s):
    await start(s, "forward", **forward("f1", "5400s"))
    await poll_for(s, "poll with another id", "forward", "f2")
    await task(s, "an hour", command("timer", timerId="1", startToFireTimeout="3600s"))
    await task(s, "another hour", command("timer", timerId="2", startToFireTimeout="3600s"))
    await poll_for(s, "fast forward completed", "forward", "f1")
    await s.call("forward, described", "DescribeWorkflowExecution", execution("forward"))
    await change(s, "another fast forward", "forward", forward("f2", "1800s"), "timeSkippingConfig")
    await poll_for(s, "the first is forgotten", "forward", "f1")
    got = await poll(s, "task when the hour is over", **NEXT)
    await complete(s, "forward, completed", got, command("complete"))
    await poll_for(s, "fast forward of a closed run", "forward", "f2")
    await change(s, "options of a closed run", "forward", config(), "timeSkippingConfig")
    await history(s, "history with fast forwards", "forward")


async def changes(s):
    await start(s, "changes")
    await task(s, "waits for a day", FAR)
    await change(s, "nothing to remove", "changes", {}, "timeSkippingConfig")
    await change(s, "part of a configuration", "changes", config(), "timeSkippingConfig.enabled")
    await change(s, "off", "changes", {"timeSkippingConfig": {"enabled": False}}, "timeSkippingConfig")
    await change(s, "off again", "changes", {"timeSkippingConfig": {"enabled": False}}, "timeSkippingConfig")
    await change(s, "forward by an hour", "changes", forward("g", "3600s"), "timeSkippingConfig")
    await poll_for(s, "the hour is over", "changes", "g")
    await change(s, "removed", "changes", {}, "timeSkippingConfig")
    await poll_for(s, "removed with its fast forward", "changes", "g")
    await s.call("changes, described", "DescribeWorkflowExecution", execution("changes"))
    await history(s, "history with changes", "changes")


async def chains(s):
    await start(s, "chain", **forward("c", "5400s", maxSessionSkipCount=9))
    await task(s, "chain, an hour", command("timer", timerId="1", startToFireTimeout="3600s"))
    await task(s, "chain goes on", command("continue", workflowType={"name": "Tasks"}, **NEXT))
    await s.call("chain, described", "DescribeWorkflowExecution", execution("chain"))
    await task(s, "chain, an hour more", command("timer", timerId="1", startToFireTimeout="3600s"))
    await poll_for(s, "fast forward over two runs", "chain", "c")
    await history(s, "history of the second run", "chain")


async def run(s):
    """All steps, in order; only the first for a server that is too old to know of it."""
    first = await start(s, "skip without end of a fast forward", **config(fastForwardConfig={"id": "f"}))
    if isinstance(first, RPCError):
        for part in (refusals, jumps, bounds, fast_forwards, changes, chains):
            await part(s)
