package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
)

// The workflows of ../record for Go, with what only Go has: versions and side effects instead of patches. Their
// histories are fixtures; the Lua workflows that must replay them are in spec/fixtures/histories/workflows.lua.

func recordOptions(ctx workflow.Context) workflow.Context {
	o := options(10 * time.Second)
	o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: 10 * time.Millisecond, MaximumAttempts: 3}
	return workflow.WithActivityOptions(ctx, o)
}

var note = temporal.NewSearchAttributeKeyKeyword("Note")

func goPrimitives(ctx workflow.Context, name string) (string, error) {
	approved := false
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		approved = true
	})
	if err := workflow.UpsertTypedSearchAttributes(ctx, note.ValueSet(name)); err != nil {
		return "", err
	}
	act := recordOptions(ctx)
	first := workflow.ExecuteActivity(act, "echo", "a")
	second := workflow.ExecuteActivity(act, "echo", "b")
	if err := errors.Join(first.Get(ctx, nil), second.Get(ctx, nil)); err != nil {
		return "", err
	}
	if err := workflow.ExecuteActivity(act, "unstable").Get(ctx, nil); err != nil {
		return "", err
	}
	if workflow.ExecuteActivity(act, "decline").Get(ctx, nil) == nil {
		return "", errors.New("it did not fail")
	}
	if workflow.GetVersion(ctx, "new", workflow.DefaultVersion, 2) == 2 {
		if err := workflow.Sleep(ctx, 20*time.Millisecond); err != nil {
			return "", err
		}
	}
	var side string
	if err := workflow.SideEffect(ctx, func(workflow.Context) any { return "side" }).Get(&side); err != nil {
		return "", err
	}
	near := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 5 * time.Second, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1}})
	if err := workflow.ExecuteLocalActivity(near, recordEcho, "x").Get(ctx, nil); err != nil {
		return "", err
	}
	if workflow.ExecuteLocalActivity(near, recordDecline).Get(ctx, nil) == nil {
		return "", errors.New("it did not fail")
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"stage": "waiting"}); err != nil {
		return "", err
	}
	if _, err := workflow.AwaitWithTimeout(ctx, time.Hour, func() bool { return approved }); err != nil {
		return "", err
	}
	timer := workflow.NewTimer(ctx, 50*time.Millisecond)
	last := workflow.ExecuteActivity(act, "echo", "c")
	if err := timer.Get(ctx, nil); err != nil {
		return "", err
	}
	var said string
	err := last.Get(ctx, &said)
	return said + side, err
}

func goChild(ctx workflow.Context, text string) (string, error) {
	var got string
	workflow.Go(ctx, func(ctx workflow.Context) { workflow.GetSignalChannel(ctx, "go").Receive(ctx, &got) })
	err := workflow.Await(ctx, func() bool { return got != "" })
	return text + got, err
}

func goParent(ctx workflow.Context) (string, error) {
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	child := func(ctx workflow.Context, suffix, text string) workflow.ChildWorkflowFuture {
		o := workflow.ChildWorkflowOptions{WorkflowID: id + suffix, WaitForCancellation: true}
		return workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), "Child", text)
	}
	first := child(ctx, "-child", "hello ")
	if err := first.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	if err := first.SignalChildWorkflow(ctx, "go", "world").Get(ctx, nil); err != nil {
		return "", err
	}
	if err := first.Get(ctx, nil); err != nil {
		return "", err
	}
	scope, cancel := workflow.WithCancel(ctx)
	other := child(scope, "-other", "")
	if err := other.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return "", err
	}
	cancel()
	if !temporal.IsCanceledError(other.Get(ctx, nil)) {
		return "", errors.New("it was not cancelled")
	}
	if workflow.SignalExternalWorkflow(ctx, "nobody", "", "go", 1).Get(ctx, nil) == nil {
		return "", errors.New("there is somebody")
	}
	err := workflow.SignalExternalWorkflow(ctx, id+"-target", "", "go", "you").Get(ctx, nil)
	return "done", err
}

func goChain(ctx workflow.Context, n int) (int, error) {
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return 0, err
	}
	if n > 0 {
		return 0, workflow.NewContinueAsNewError(ctx, "Chain", n-1)
	}
	return n, nil
}

func goCancelled(ctx workflow.Context) error {
	o := options(time.Minute)
	o.HeartbeatTimeout, o.WaitForCancellation = time.Second, true
	sleeping := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "sleepy")
	err := sleeping.Get(ctx, nil)
	clean, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := workflow.ExecuteActivity(recordOptions(clean), "echo", "clean up").Get(clean, nil); err != nil {
		return err
	}
	return err
}

func goFailed(ctx workflow.Context) error {
	if err := workflow.Sleep(ctx, 10*time.Millisecond); err != nil {
		return err
	}
	return temporal.NewNonRetryableApplicationError("no funds", "Bad", nil, 1, 2)
}

func goUpdated(ctx workflow.Context) (int, error) {
	sum, finished := 0, false
	err := workflow.SetUpdateHandlerWithOptions(ctx, "add", func(ctx workflow.Context, n int) (int, error) {
		err := workflow.ExecuteActivity(recordOptions(ctx), "echo", n).Get(ctx, nil)
		sum += n
		return sum, err
	}, workflow.UpdateHandlerOptions{Validator: func(n int) error {
		if n < 0 {
			return errors.New("too small")
		}
		return nil
	}})
	if err != nil {
		return 0, err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
		finished = true
	})
	err = workflow.Await(ctx, func() bool { return finished && workflow.AllHandlersFinished(ctx) })
	return sum, err
}

func goSession(ctx workflow.Context) (string, error) {
	ctx = recordOptions(ctx)
	o := &workflow.SessionOptions{CreationTimeout: time.Minute, ExecutionTimeout: time.Minute}
	session, err := workflow.CreateSession(ctx, o)
	if err != nil {
		return "", err
	}
	var a, b string
	if err := workflow.ExecuteActivity(session, "echo", "a").Get(session, &a); err != nil {
		return "", err
	}
	token := workflow.GetSessionInfo(session).GetRecreateToken()
	workflow.CompleteSession(session)
	if session, err = workflow.RecreateSession(ctx, token, o); err != nil {
		return "", err
	}
	if err := workflow.ExecuteActivity(session, "echo", "b").Get(session, &b); err != nil {
		return "", err
	}
	workflow.CompleteSession(session)
	return a + b, workflow.ExecuteActivity(ctx, "echo", "c").Get(ctx, nil)
}

var unstableCalls int

func recordEcho(_ context.Context, value any) (any, error) { return value, nil }

func recordUnstable(context.Context) (int, error) {
	unstableCalls++
	if unstableCalls%2 == 1 {
		return 0, errors.New("not yet")
	}
	return unstableCalls, nil
}

func recordDecline(context.Context) (int, error) {
	return 0, temporal.NewNonRetryableApplicationError("no", "No", nil)
}

func registerRecorded(w worker.Worker) {
	for name, fn := range map[string]any{"GoPrimitives": goPrimitives, "Child": goChild, "Parent": goParent,
		"Chain": goChain, "GoCancelled": goCancelled, "Failed": goFailed, "Updated": goUpdated,
		"Session": goSession} {
		w.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
	for name, fn := range map[string]any{"echo": recordEcho, "unstable": recordUnstable, "decline": recordDecline,
		"sleepy": waitsForCancel} {
		w.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}

var (
	ofMachine = regexp.MustCompile(`"[^"]*@[^"]*"`)
	ofStack   = regexp.MustCompile(`"stackTrace": *"[^"]*"`)
)

// record writes a fixture for each workflow; nothing in it tells of the machine.
func record(address, folder string) int {
	ctx := context.Background()
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet()})
	must(err)
	w := worker.New(c, "record", worker.Options{EnableSessionWorker: true})
	registerRecorded(w)
	must(w.Start())
	defer w.Stop()
	start := func(id, kind string, args ...any) client.WorkflowRun {
		run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: "record"}, kind, args...)
		must(err)
		return run
	}
	keep := func(name string, run client.WorkflowRun) {
		h := &history.History{}
		events := c.GetWorkflowHistory(ctx, run.GetID(), run.GetRunID(), false,
			enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			must(err)
			h.Events = append(h.Events, event)
		}
		text, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(h)
		must(err)
		text = ofStack.ReplaceAll(ofMachine.ReplaceAll(text, []byte(`"recorder"`)), []byte(`"stackTrace": ""`))
		must(os.WriteFile(filepath.Join(folder, name+".json"), append(text, '\n'), 0o644))
	}
	signal := func(run client.WorkflowRun) { must(c.SignalWorkflow(ctx, run.GetID(), "", "go", nil)) }
	update := func(run client.WorkflowRun, n int) error {
		handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: run.GetID(), UpdateName: "add",
			Args: []any{n}, WaitForStage: client.WorkflowUpdateStageCompleted})
		if err != nil {
			return err
		}
		return handle.Get(ctx, nil)
	}

	run := start("primitives", "GoPrimitives", "ann")
	time.Sleep(4 * time.Second)
	signal(run)
	must(run.Get(ctx, nil))
	keep("primitives", run)
	target := start("parent-target", "Child", "to ")
	run = start("parent", "Parent")
	must(run.Get(ctx, nil))
	must(target.Get(ctx, nil))
	keep("parent", run)
	keep("child", target)
	run = start("chain", "Chain", 1)
	first := c.GetWorkflow(ctx, "chain", run.GetRunID())
	must(run.Get(ctx, nil))
	keep("chain_first", first)
	run = start("cancelled", "GoCancelled")
	time.Sleep(500 * time.Millisecond)
	must(c.CancelWorkflow(ctx, "cancelled", ""))
	fmt.Println("cancelled:", run.Get(ctx, nil))
	keep("cancelled", run)
	run = start("failed", "Failed")
	fmt.Println("failed:", run.Get(ctx, nil))
	keep("failed", run)
	run = start("updated", "Updated")
	must(update(run, 2))
	fmt.Println("rejected:", update(run, -2))
	must(update(run, 3))
	signal(run)
	must(run.Get(ctx, nil))
	keep("updated", run)
	run = start("session", "Session")
	must(run.Get(ctx, nil))
	keep("session", run) // its signals have the host's name in base64: record it on a host that is called recorder
	return 0
}
