"""Requests of operators: task queues in the older modes, worker versioning as it was before deployments, clusters,
the end of a namespace. Part of answers_script.py."""

QUEUE = {"taskQueue": {"name": "tasks"}}
IDLE = {"taskQueue": {"name": "idle"}}
ENHANCED = {"apiMode": "DESCRIBE_TASK_QUEUE_MODE_ENHANCED"}


async def enhanced_queues(s):
    for step, fields in [
        ("enhanced queue", {**QUEUE}),
        ("enhanced queue with pollers", {**QUEUE, "reportPollers": True}),
        ("enhanced queue of activities", {**QUEUE, "reportPollers": True, "taskQueueTypes": ["TASK_QUEUE_TYPE_ACTIVITY"]}),
        ("enhanced idle queue", {**IDLE, "reportStats": True, "reportPollers": True}),
        ("enhanced queue with stats", {**QUEUE, "reportStats": True, "taskQueueTypes": ["TASK_QUEUE_TYPE_WORKFLOW"]}),
        ("enhanced queue, unversioned", {**QUEUE, "versions": {"unversioned": True}}),
        ("enhanced queue, active", {**QUEUE, "versions": {"allActive": True}}),
        ("enhanced queue of a build", {**QUEUE, "versions": {"buildIds": ["b1"]}, "reportPollers": True}),
        ("enhanced queue with reachability", {**QUEUE, "reportTaskReachability": True}),
        ("enhanced sticky queue", {"taskQueue": {"name": "tasks", "kind": "TASK_QUEUE_KIND_STICKY", "normalName": "x"}}),
        ("enhanced queue without name", {}),
    ]:
        await s.call(step, "DescribeTaskQueue", {**ENHANCED, **fields})
    await s.call("partitions", "ListTaskQueuePartitions", {"taskQueue": {"name": "tasks"}})
    await s.call("partitions of idle queue", "ListTaskQueuePartitions", {"taskQueue": {"name": "idle"}})
    await s.call("partitions without queue", "ListTaskQueuePartitions")
    await s.call("partitions of an unknown namespace", "ListTaskQueuePartitions", {
        "namespace": "nowhere", "taskQueue": {"name": "tasks"}})


async def build_ids(s):
    await s.call("build ids", "GetWorkerBuildIdCompatibility", {"taskQueue": "tasks"})
    await s.call("build ids without queue", "GetWorkerBuildIdCompatibility")
    await s.call("build id added", "UpdateWorkerBuildIdCompatibility", {
        "taskQueue": "tasks", "addNewBuildIdInNewDefaultSet": "b1"})
    await s.call("reachability", "GetWorkerTaskReachability", {"buildIds": ["b1"], "taskQueues": ["tasks"]})
    await s.call("versioning rules", "GetWorkerVersioningRules", {"taskQueue": "tasks"})
    await s.call("versioning rule added", "UpdateWorkerVersioningRules", {
        "taskQueue": "tasks", "insertAssignmentRule": {"rule": {"targetBuildId": "b1"}}})
    await s.call("old deployments", "ListDeployments")
    await s.call("old deployment", "DescribeDeployment", {"deployment": {"seriesName": "s", "buildId": "b"}})
    await s.call("old current deployment", "GetCurrentDeployment", {"seriesName": "s"})
    await s.call("old current deployment set", "SetCurrentDeployment", {"deployment": {"seriesName": "s", "buildId": "b"}})
    await s.call("old deployment's reachability", "GetDeploymentReachability", {
        "deployment": {"seriesName": "s", "buildId": "b"}})


async def clusters(s):
    await s.call("clusters", "ListClusters")
    await s.call("cluster that is not there removed", "RemoveRemoteCluster", {"clusterName": "nowhere"})
    await s.call("no cluster removed", "RemoveRemoteCluster")
    await s.call("cluster that does not answer added", "AddOrUpdateRemoteCluster", {"frontendAddress": "localhost:1"})


async def end_of_namespace(s):
    await s.call("deprecated", "DeprecateNamespace", {"namespace": "nowhere"})
    await s.call("unknown namespace deleted", "DeleteNamespace", {"namespace": "nowhere"})
    await s.call("unknown namespace id deleted", "DeleteNamespace", {
        "namespace": "", "namespaceId": "00000000-0000-4000-8000-000000000000"})
    await s.call("no namespace deleted", "DeleteNamespace", {"namespace": ""})
    await s.call("namespace deleted twofold", "DeleteNamespace", {
        "namespaceId": "00000000-0000-4000-8000-000000000000"})
    await s.call("system namespace deleted", "DeleteNamespace", {"namespace": "temporal-system"})
    await s.call("namespace deleted", "DeleteNamespace")
    # Not deleted again: what the real server says to that depends on how old its cache of namespaces is.
    await s.call("deleted namespace described", "DescribeNamespace")


async def run(s):
    """All steps, in order; the last one leaves no namespace."""
    for part in (enhanced_queues, build_ids, clusters, end_of_namespace):
        await part(s)
