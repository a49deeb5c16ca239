package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/types/known/durationpb"
)

var cases = []checkCase{
	{"workflow with activity, signal, query and timer", caseEverything},
	{"activity retries", caseRetries},
	{"failures keep type, cause and details", caseFailures},
	{"cancellation reaches the activity", caseCancellation},
	{"many workflows at once, none waits for a poll", caseMany},
	{"continue as new", caseContinueAsNew},
	{"version, side effect and local activity", caseMarkers},
	{"activity completed by token and by id", caseLeftOpen},
	{"second start is refused with its run id", caseSecondStart},
	{"unknown workflow is not found", caseUnknown},
	{"unknown query fails with the reason", caseUnknownQuery},
	{"signal with start, terminate", caseSignalWithStart},
	{"lists and counts", caseLists},
	{"namespaces and health", caseNamespaces},
	{"task queue tells its pollers", caseTaskQueue},
	{"histories replay in Go", caseReplayInGo},
	{"history made by Go replays in Lua", caseReplayInLua},
	{"lua worker serves a Go client", caseLuaWorker},
	{"lua worker carries on what a Go worker began", caseHandOver},
	{"a service in Lua serves a workflow in Go", caseLuaService},
	{"SDK starts the server itself", caseDevServer},
}

func caseEverything(e *environment) {
	h := e.start("everything", "everything", "a")
	must(e.client.SignalWorkflow(e, h.GetID(), "", "add", "b"))
	answer, err := e.client.QueryWorkflow(e, h.GetID(), "", "count")
	must(err)
	var count int
	must(answer.Get(&count))
	equal(count, 2)
	must(e.client.SignalWorkflow(e, h.GetID(), h.GetRunID(), "close", nil))
	var result []string
	must(h.Get(e, &result))
	sort.Strings(result)
	equal(result, []string{"hello, a", "hello, b"})
	described, err := e.client.DescribeWorkflowExecution(e, h.GetID(), h.GetRunID())
	must(err)
	equal(described.WorkflowExecutionInfo.Status, enums.WORKFLOW_EXECUTION_STATUS_COMPLETED)
}

func caseRetries(e *environment) {
	var tries int
	must(e.start("retries", "retries", "r").Get(e, &tries))
	equal(tries, 3)
}

func caseFailures(e *environment) {
	err := e.start("fails", "fails").Get(e, nil)
	as[*temporal.WorkflowExecutionError](err)
	equal(as[*temporal.ActivityError](err).ActivityType().GetName(), "never_good")
	inner := as[*temporal.ApplicationError](as[*temporal.ActivityError](err).Unwrap())
	equal(inner.Type(), "NoGood")
	equal(inner.NonRetryable(), true)
	var word string
	var number int
	must(inner.Details(&word, &number))
	equal([]any{word, number}, []any{"detail", 7})
	equal(inner.Unwrap().Error(), "the reason")
}

func caseCancellation(e *environment) {
	h := e.start("cancels", "cancelsActivity")
	eventually("a heartbeat", func() bool {
		d, err := e.client.DescribeWorkflowExecution(e, h.GetID(), "")
		must(err)
		return len(d.PendingActivities) == 1 && d.PendingActivities[0].HeartbeatDetails != nil
	})
	must(e.client.CancelWorkflow(e, h.GetID(), ""))
	as[*temporal.CanceledError](h.Get(e, nil))
	lock.Lock()
	defer lock.Unlock()
	equal(heartbeats, []string{"cancelled"})
}

// Its worker has two kinds of queue to poll; what our answers tell it must not keep it from one of them.
func caseMany(e *environment) {
	w := newWorker(e.client, "many")
	must(w.Start())
	defer w.Stop()
	var group sync.WaitGroup
	problems := make(chan error, 64)
	for slot := range 64 {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range 6 {
				h, err := e.client.ExecuteWorkflow(e, client.StartWorkflowOptions{
					ID: fmt.Sprintf("many-%d-%d", slot, i), TaskQueue: "many", WorkflowExecutionTimeout: 20 * time.Second,
				}, "steps", 1)
				if err == nil {
					err = h.Get(e, nil)
				}
				if err != nil {
					problems <- err
					return
				}
			}
		}()
	}
	group.Wait()
	close(problems)
	must(<-problems)
}

func caseContinueAsNew(e *environment) {
	h := e.start("countdown", "countsDown", 3)
	first := h.GetRunID()
	var word string
	must(h.Get(e, &word))
	equal(word, "zero")
	d, err := e.client.DescribeWorkflowExecution(e, "countdown", "")
	must(err)
	equal(d.WorkflowExecutionInfo.FirstRunId, first)
}

func caseMarkers(e *environment) {
	var said string
	must(e.start("markers", "markers").Get(e, &said))
	equal(said, "hello, near 1 7")
}

func caseLeftOpen(e *environment) {
	var said string
	h := e.start("open-by-token", "leavesOpen")
	must(e.client.CompleteActivity(e, <-openTokens, "by token", nil))
	must(h.Get(e, &said))
	equal(said, "by token")
	h = e.start("open-by-id", "leavesOpen")
	<-openTokens
	must(e.client.RecordActivityHeartbeatByID(e, "default", "open-by-id", "", "open", "beat"))
	must(e.client.CompleteActivityByID(e, "default", "open-by-id", "", "open", "by id", nil))
	must(h.Get(e, &said))
	equal(said, "by id")
}

func caseSecondStart(e *environment) {
	first := e.start("twice", "everything", "a")
	_, err := e.client.ExecuteWorkflow(e, client.StartWorkflowOptions{
		ID: "twice", TaskQueue: queue, WorkflowExecutionErrorWhenAlreadyStarted: true,
	}, "everything", "a")
	equal(as[*serviceerror.WorkflowExecutionAlreadyStarted](err).RunId, first.GetRunID())
	must(e.client.TerminateWorkflow(e, "twice", "", "enough"))
}

func caseUnknown(e *environment) {
	_, err := e.client.DescribeWorkflowExecution(e, "never-was", "")
	as[*serviceerror.NotFound](err)
	as[*serviceerror.NotFound](e.client.SignalWorkflow(e, "never-was", "", "s", nil))
	other, err := client.NewClientFromExisting(e.client, client.Options{Namespace: "nowhere", Logger: quiet()})
	must(err)
	_, err = other.DescribeWorkflowExecution(e, "never-was", "")
	equal(as[*serviceerror.NamespaceNotFound](err).Namespace, "nowhere")
}

func caseUnknownQuery(e *environment) {
	e.start("queried", "everything", "a")
	_, err := e.client.QueryWorkflow(e, "queried", "", "no_such_query")
	failed := as[*serviceerror.QueryFailed](err)
	if !strings.Contains(failed.Error(), "no_such_query") {
		panic(failure{failed.Error()})
	}
	must(e.client.TerminateWorkflow(e, "queried", "", "enough"))
}

func caseSignalWithStart(e *environment) {
	h, err := e.client.SignalWithStartWorkflow(e, "both", "add", "b",
		client.StartWorkflowOptions{TaskQueue: queue, Memo: map[string]any{"k": "v"}}, "everything", "a")
	must(err)
	again, err := e.client.SignalWithStartWorkflow(e, "both", "add", "c",
		client.StartWorkflowOptions{TaskQueue: queue}, "everything", "a")
	must(err)
	equal(again.GetRunID(), h.GetRunID())
	eventually("three names", func() bool {
		var count int
		answer, err := e.client.QueryWorkflow(e, "both", "", "count")
		must(err)
		must(answer.Get(&count))
		return count == 3
	})
	d, err := e.client.DescribeWorkflowExecution(e, "both", "")
	must(err)
	equal(string(d.WorkflowExecutionInfo.Memo.Fields["k"].Data), `"v"`)
	must(e.client.TerminateWorkflow(e, "both", "", "enough", "detail"))
	as[*temporal.TerminatedError](h.Get(e, nil))
}

func caseLists(e *environment) {
	eventually("the run in the list", func() bool {
		found, err := e.client.ListWorkflow(e, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = 'retries' AND ExecutionStatus = 'Completed'",
		})
		must(err)
		return len(found.Executions) == 1 && found.Executions[0].Execution.WorkflowId == "retries"
	})
	counted, err := e.client.CountWorkflow(e, &workflowservice.CountWorkflowExecutionsRequest{
		Query: "WorkflowType = 'countsDown'",
	})
	must(err)
	equal(counted.Count, int64(4))
	_, err = e.client.ListWorkflow(e, &workflowservice.ListWorkflowExecutionsRequest{Query: "Nonsense = = 1"})
	as[*serviceerror.InvalidArgument](err)
}

func caseNamespaces(e *environment) {
	_, err := e.client.CheckHealth(e, nil)
	must(err)
	names, err := client.NewNamespaceClient(client.Options{HostPort: e.address, Logger: quiet()})
	must(err)
	defer names.Close()
	request := &workflowservice.RegisterNamespaceRequest{Namespace: "from-go", Description: "made by Go"}
	as[*serviceerror.InvalidArgument](names.Register(e, request))
	request.WorkflowExecutionRetentionPeriod = durationpb.New(24 * time.Hour)
	must(names.Register(e, request))
	as[*serviceerror.NamespaceAlreadyExists](names.Register(e, request))
	found, err := names.Describe(e, "from-go")
	must(err)
	equal(found.NamespaceInfo.Description, "made by Go")
	_, err = names.Describe(e, "nowhere")
	as[*serviceerror.NamespaceNotFound](err)
}

func caseTaskQueue(e *environment) {
	for _, kind := range []enums.TaskQueueType{enums.TASK_QUEUE_TYPE_WORKFLOW, enums.TASK_QUEUE_TYPE_ACTIVITY} {
		found, err := e.client.DescribeTaskQueue(e, queue, kind)
		must(err)
		if len(found.Pollers) == 0 || found.Pollers[0].Identity == "" {
			panic(failure{"no pollers of " + kind.String()})
		}
	}
}

func historyOf(e *environment, id, run string) *history.History {
	out := &history.History{}
	events := e.client.GetWorkflowHistory(e, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		must(err)
		out.Events = append(out.Events, event)
	}
	return out
}

func replayInGo(h *history.History) error {
	replayer := worker.NewWorkflowReplayer()
	registerWorkflows(replayer)
	return replayer.ReplayWorkflowHistory(quiet(), h)
}

func caseReplayInGo(e *environment) {
	for _, id := range []string{"everything", "retries", "fails", "markers", "cancels"} {
		must(replayInGo(historyOf(e, id, "")))
	}
	broken := worker.NewWorkflowReplayer()
	broken.RegisterWorkflowWithOptions(retries, workflow.RegisterOptions{Name: "everything"})
	if broken.ReplayWorkflowHistory(quiet(), historyOf(e, "everything", "")) == nil {
		panic(failure{"another workflow replayed as well"})
	}
}

// runPlain runs the workflow that exists in both languages on a queue.
func runPlain(e *environment, id, onQueue string, meanwhile func()) *history.History {
	h, err := e.client.ExecuteWorkflow(e, client.StartWorkflowOptions{ID: id, TaskQueue: onQueue}, "plain", "world")
	must(err)
	eventually("the query's answer", func() bool {
		answer, err := e.client.QueryWorkflow(e, id, "", "word")
		var word string
		return err == nil && answer.Get(&word) == nil && word == "hello"
	})
	eventually("the first activity and the timer", func() bool {
		n := 0
		for _, event := range historyOf(e, id, "").Events {
			if event.EventType == enums.EVENT_TYPE_TIMER_FIRED {
				n++
			}
		}
		return n == 1
	})
	if meanwhile != nil {
		meanwhile()
	}
	must(e.client.SignalWorkflow(e, id, "", "word", "good morning"))
	var said string
	must(h.Get(e, &said))
	equal(said, "good morning, first, world")
	return historyOf(e, id, "")
}

func (e *environment) write(name, text string) string {
	path := filepath.Join(e.folder, name)
	must(os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (e *environment) replayInLua(h *history.History) ([]byte, error) {
	text, err := temporalproto.CustomJSONMarshalOptions{Indent: "  "}.Marshal(h)
	must(err)
	e.write("plain.lua", plainInLua)
	return exec.CommandContext(e, e.binary, "replay", "--root", e.folder, "-w", "plain",
		e.write("history.json", string(text))).CombinedOutput()
}

func caseReplayInLua(e *environment) {
	h := runPlain(e, "plain-in-go", queue, nil)
	must(replayInGo(h))
	out, err := e.replayInLua(h)
	if err != nil {
		panic(failure{string(out)})
	}
	// The replayer does look: with another activity in its place the history no longer fits.
	for _, event := range h.Events {
		if a := event.GetActivityTaskScheduledEventAttributes(); a != nil {
			event.EventType = enums.EVENT_TYPE_TIMER_STARTED
			event.Attributes = &history.HistoryEvent_TimerStartedEventAttributes{
				TimerStartedEventAttributes: &history.TimerStartedEventAttributes{
					TimerId: a.ActivityId, WorkflowTaskCompletedEventId: a.WorkflowTaskCompletedEventId,
				},
			}
			break
		}
	}
	if out, err := e.replayInLua(h); err == nil {
		panic(failure{"a changed history replayed: " + string(out)})
	}
}

// luaWorker runs a worker of ours until the returned function is called.
func (e *environment) luaWorker(onQueue string) (end func()) {
	e.write("plain.lua", plainInLua)
	script := e.write("worker.lua", strings.ReplaceAll(luaWorkerScript, "lua-queue", onQueue))
	process := exec.Command(e.binary, "worker", "run", "--address", e.address, script)
	process.Stderr = os.Stderr
	must(process.Start())
	return func() { must(stop(process)) }
}

func caseLuaWorker(e *environment) {
	end := e.luaWorker("lua-queue")
	defer func() {
		if end != nil {
			end()
		}
	}()
	h := runPlain(e, "plain-in-lua", "lua-queue", nil)
	end()
	end = nil
	// Back into the replayer as the Go SDK writes it. (The Go SDK itself replays only ids that it gave.)
	if out, err := e.replayInLua(h); err != nil {
		panic(failure{string(out)})
	}
}

func caseHandOver(e *environment) {
	first := newWorker(e.client, "shared-queue")
	must(first.Start())
	var end func()
	defer func() {
		if end != nil {
			end()
		}
	}()
	h := runPlain(e, "handed-over", "shared-queue", func() {
		first.Stop()
		end = e.luaWorker("shared-queue")
	})
	if out, err := e.replayInLua(h); err != nil {
		panic(failure{string(out)})
	}
	last := ""
	for _, event := range h.Events {
		if a := event.GetWorkflowTaskCompletedEventAttributes(); a != nil && a.SdkMetadata.GetSdkName() != "" {
			last = a.SdkMetadata.SdkName
		}
	}
	equal(last, "temporal-lua")
}

func caseDevServer(e *environment) {
	server, err := testsuite.StartDevServer(e, testsuite.DevServerOptions{
		ExistingPath: e.binary, LogLevel: "error", Stdout: os.Stderr, Stderr: os.Stderr,
		DBFilename:    filepath.Join(e.folder, "own.db"),
		ClientOptions: &client.Options{Namespace: "own-namespace", Logger: quiet()},
	})
	must(err)
	defer func() { must(server.Stop()) }()
	w := newWorker(server.Client(), "own")
	must(w.Start())
	defer w.Stop()
	h, err := server.Client().ExecuteWorkflow(e, client.StartWorkflowOptions{ID: "own", TaskQueue: "own"}, "countsDown", 1)
	must(err)
	var word string
	must(h.Get(e, &word))
	equal(word, "zero")
}
