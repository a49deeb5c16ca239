"""Search attributes and list filters, asked of each server: registering, what may be set, and how many
workflows each filter finds."""

import base64
import json


def b64(text):
    return base64.b64encode(text.encode()).decode()


TYPES = {
    "Who": "KEYWORD", "Note": "TEXT", "Num": "INT", "Price": "DOUBLE", "Paid": "BOOL", "Due": "DATETIME",
    "Tags": "KEYWORD_LIST",
}

WORKFLOWS = {
    "sa-a": {"Who": "ann", "Note": "Some text, or two", "Num": 1, "Price": 1.5, "Paid": True,
             "Due": "2026-11-21T10:00:00Z", "Tags": ["red", "blue"]},
    "sa-b": {"Who": "bob", "Note": "other words", "Num": 2, "Price": 2.0, "Paid": False,
             "Due": "2026-11-21T12:00:00+01:00", "Tags": ["red"]},
    "sa-c": {"Who": "bo_c", "Num": -3, "Price": 3, "Due": "2026-12-01T00:00:00Z"},
    "sa-d": {},
}

FILTERS = [
    "Who = 'ann'", "Who != 'ann'", "Who IN ('ann', 'bob')", "Who NOT IN ('ann', 'bob')", "Who > 'ann'",
    "Who STARTS_WITH 'bo'", "Who NOT STARTS_WITH 'bo'", "Who STARTS_WITH 'bo_'", "Who BETWEEN 'a' AND 'b'",
    "Who IS NULL", "Who IS NOT NULL", "NOT Who = 'ann'", "NOT (Who = 'ann' OR Who IS NULL)",
    "Num >= 1", "Num = -3", "Num != 1", "Num BETWEEN 1 AND 2", "Num NOT BETWEEN 1 AND 2", "Num > 1.5",
    "NOT Num > 1", "Price = 1.5", "Price <= 2", "Price IN (3, 1.5)", "Paid = true", "Paid = false", "Paid != true",
    "Paid IS NULL", "Due < '2026-11-21T10:30:00Z'", "Due = '2026-11-21T11:00:00Z'", "Due > '2026-11-22T00:00:00Z'",
    "Due BETWEEN '2026-11-21T10:00:00Z' AND '2026-11-21T11:00:00Z'", "Tags = 'red'", "Tags = 'blue'", "Tags = 're'",
    "Tags != 'blue'", "Tags IN ('blue', 'green')", "Tags NOT IN ('red')", "NOT Tags = 'red'", "Tags IS NULL",
    "Note = 'TEXT'", "Note = 'words text'", "Note = 'wor'", "Note != 'text'", "Note IS NOT NULL",
    "`Who` = 'ann'", "Who = \"bob\"", "Who = 'ann' OR Who = 'bob' AND Num = 9", "(Who = 'ann' OR Who = 'bob') AND Num > 1",
    "ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_RUNNING' AND Who = 'ann'", "ExecutionStatus = 1 AND Who = 'ann'",
    "ExecutionDuration > '1h'", "ExecutionDuration IS NULL", "RootWorkflowId = 'sa-a'", "ParentWorkflowId IS NULL",
    "TemporalWorkflowType = 'Attributed'",
]

REFUSED = [
    "Tags > 'a'", "Tags STARTS_WITH 'r'", "Note IN ('text')", "Note < 'x'",
    "Paid BETWEEN true AND false", "Paid = 'true'", "Num = 'one'", "Num STARTS_WITH '1'", "Due = 'noon'", "Who = 1",
    "Who = ann", "Nobody = 1", "Who LIKE 'a%'", "Who = 'ann' LIMIT 1",
]


def attributes_of(values):
    return {"indexedFields": {
        name: {"metadata": {"encoding": b64("json/plain")}, "data": b64(json.dumps(value))}
        for name, value in values.items()}}


def start(workflow_id, values):
    return {
        "workflowId": workflow_id, "workflowType": {"name": "Attributed"}, "taskQueue": {"name": "nobody"},
        "identity": "compare", "requestId": "request of " + workflow_id, "searchAttributes": attributes_of(values),
    }


async def registering(s):
    add = {name: "INDEXED_VALUE_TYPE_" + kind for name, kind in TYPES.items()}
    await s.call("attributes added", "AddSearchAttributes", searchAttributes=add)
    await s.call("attributes added twice", "AddSearchAttributes", searchAttributes=add)
    await s.call("no attributes added", "AddSearchAttributes")
    await s.call("reserved attribute added", "AddSearchAttributes",
                 searchAttributes={"RunId": "INDEXED_VALUE_TYPE_KEYWORD"})
    await s.call("prefixed attribute added", "AddSearchAttributes",
                 searchAttributes={"TemporalMine": "INDEXED_VALUE_TYPE_KEYWORD"})
    await s.call("too many attributes added", "AddSearchAttributes",
                 searchAttributes={f"More{i}": "INDEXED_VALUE_TYPE_BOOL" for i in range(3)})
    await s.call("no attributes removed", "RemoveSearchAttributes")
    await s.call("system attribute removed", "RemoveSearchAttributes", searchAttributes=["StartTime"])
    await s.call("unknown attribute removed", "RemoveSearchAttributes", searchAttributes=["Nobody"])


async def setting(s):
    """The real server takes a while to see what was registered."""
    async def known():
        found = await s.call("", "CountWorkflowExecutions", record=False, query="Tags = 'x' OR Who = 'x'")
        started = await s.call("", "StartWorkflowExecution", start("sa-first", {"Who": "x", "Due": None}), record=False)
        return not isinstance(found, Exception) and not isinstance(started, Exception)

    await s.eventually(known)
    await s.call("", "TerminateWorkflowExecution", {"workflowExecution": {"workflowId": "sa-first"}}, record=False)
    for name, value in [("Num", "many"), ("Who", 7), ("Paid", 1), ("Due", "noon"), ("Tags", "one"), ("Price", True),
                        ("Note", ["a", "b"]), ("StartTime", "x"), ("Who", "x" * 2050),
                        ("TemporalWorkerDeployment", "x")]:
        await s.call(f"start with {name} {str(value)[:8]}", "StartWorkflowExecution", start("sa-bad", {name: value}))
    for workflow_id, values in WORKFLOWS.items():
        await s.call("start " + workflow_id, "StartWorkflowExecution", start(workflow_id, values))


async def filtering(s):
    async def all_are_listed():
        found = await s.call("", "CountWorkflowExecutions", record=False,
                             query="WorkflowType = 'Attributed' AND ExecutionStatus = 'Running'")
        return found.count == len(WORKFLOWS)

    await s.eventually(all_are_listed)
    for text in FILTERS:
        await s.call("filter: " + text, "CountWorkflowExecutions",
                     query=f"WorkflowId STARTS_WITH 'sa-' AND WorkflowId != 'sa-first' AND ({text})")
    for text in REFUSED:
        await s.call("refused filter: " + text, "CountWorkflowExecutions", query=text)
    await s.call("described with attributes", "DescribeWorkflowExecution", {"execution": {"workflowId": "sa-a"}})
    await s.call("listed with attributes", "ListWorkflowExecutions", query="WorkflowId = 'sa-b'")


async def run(s):
    await registering(s)
    await setting(s)
    await filtering(s)
