package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

func options(timeout time.Duration) workflow.ActivityOptions {
	return workflow.ActivityOptions{StartToCloseTimeout: timeout}
}

// everything collects names by signal, answers a query, sleeps, and greets each name by an activity.
func everything(ctx workflow.Context, first string) ([]string, error) {
	names, closed := []string{first}, false
	err := workflow.SetQueryHandler(ctx, "count", func() (int, error) { return len(names), nil })
	if err != nil {
		return nil, err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var name string
			workflow.GetSignalChannel(ctx, "add").Receive(ctx, &name)
			names = append(names, name)
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, "close").Receive(ctx, nil)
		closed = true
	})
	if err := workflow.Sleep(ctx, 50*time.Millisecond); err != nil {
		return nil, err
	}
	if err := workflow.Await(ctx, func() bool { return closed }); err != nil {
		return nil, err
	}
	out := []string{}
	for _, name := range names {
		var said string
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options(10*time.Second)),
			"greet", name).Get(ctx, &said)
		if err != nil {
			return nil, err
		}
		out = append(out, said)
	}
	return out, nil
}

func retries(ctx workflow.Context, key string) (int, error) {
	o := options(10 * time.Second)
	o.RetryPolicy = &temporal.RetryPolicy{InitialInterval: 20 * time.Millisecond}
	var tries int
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "fails_twice", key).Get(ctx, &tries)
	return tries, err
}

func fails(ctx workflow.Context) error {
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options(10*time.Second)),
		"never_good").Get(ctx, nil)
}

func cancelsActivity(ctx workflow.Context) error {
	o := options(30 * time.Second)
	o.HeartbeatTimeout = 2 * time.Second
	o.WaitForCancellation = true
	return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "waits_for_cancel").Get(ctx, nil)
}

func countsDown(ctx workflow.Context, n int) (string, error) {
	if n > 0 {
		return "", workflow.NewContinueAsNewError(ctx, "countsDown", n-1)
	}
	return "zero", nil
}

// markers uses all that Go records as markers.
func markers(ctx workflow.Context) (string, error) {
	version := workflow.GetVersion(ctx, "one", workflow.DefaultVersion, 1)
	var side int
	err := workflow.SideEffect(ctx, func(workflow.Context) any { return 7 }).Get(&side)
	if err != nil {
		return "", err
	}
	near := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: 5 * time.Second})
	var said string
	if err := workflow.ExecuteLocalActivity(near, greet, "near").Get(ctx, &said); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d", said, version, side), nil
}

func leavesOpen(ctx workflow.Context) (string, error) {
	o := options(20 * time.Second)
	o.ActivityID = "open"
	var said string
	err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, o), "left_open").Get(ctx, &said)
	return said, err
}

// plain is the workflow that also exists in Lua (plainInLua): the same commands in the same order, so a history of
// one replays in the other and one may carry on what the other began.
func plain(ctx workflow.Context, name string) (string, error) {
	word := "hello"
	if err := workflow.SetQueryHandler(ctx, "word", func() (string, error) { return word, nil }); err != nil {
		return "", err
	}
	act := workflow.WithActivityOptions(ctx, options(10*time.Second))
	var first string
	if err := workflow.ExecuteActivity(act, "join", "first", name).Get(ctx, &first); err != nil {
		return "", err
	}
	if err := workflow.Sleep(ctx, 20*time.Millisecond); err != nil {
		return "", err
	}
	workflow.GetSignalChannel(ctx, "word").Receive(ctx, &word)
	var second string
	if err := workflow.ExecuteActivity(act, "join", word, first).Get(ctx, &second); err != nil {
		return "", err
	}
	return second, nil
}

const plainInLua = `
local workflow = require "temporal.workflow"
return workflow.define("plain", function(name)
  local word, said = "hello", false
  workflow.set_signal_handler("word", function(given) word, said = given, true end)
  workflow.set_query_handler("word", function() return word end)
  local options = { start_to_close_timeout = 10 }
  local first = workflow.execute_activity("join", options, "first", name)
  workflow.sleep(0.02)
  workflow.wait_condition(function() return said end)
  return workflow.execute_activity("join", options, word, first)
end)
`

const luaWorkerScript = `
local temporal = require "temporal"
return temporal.worker {
  task_queue = "lua-queue",
  workflows = { "plain" },
  activities = { join = function(a, b) return a .. ", " .. b end },
}
`

var (
	lock       sync.Mutex
	attempts   = map[string]int{}
	heartbeats = []string{}
	openTokens = make(chan []byte, 1)
)

func same(_ context.Context, n int) (int, error) { return n, nil }

func greet(_ context.Context, name string) (string, error) { return "hello, " + name, nil }

func join(_ context.Context, a, b string) (string, error) { return a + ", " + b, nil }

func failsTwice(_ context.Context, key string) (int, error) {
	lock.Lock()
	defer lock.Unlock()
	attempts[key]++
	if attempts[key] < 3 {
		return 0, temporal.NewApplicationError("not yet", "NotYet")
	}
	return attempts[key], nil
}

func neverGood(context.Context) error {
	return temporal.NewNonRetryableApplicationError("no good", "NoGood", errors.New("the reason"), "detail", 7)
}

func waitsForCancel(ctx context.Context) error {
	for {
		activity.RecordHeartbeat(ctx, "alive")
		select {
		case <-ctx.Done():
			lock.Lock()
			heartbeats = append(heartbeats, "cancelled")
			lock.Unlock()
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func leftOpen(ctx context.Context) (string, error) {
	openTokens <- activity.GetInfo(ctx).TaskToken
	return "", activity.ErrResultPending
}

type registry interface {
	RegisterWorkflowWithOptions(any, workflow.RegisterOptions)
}

func registerWorkflows(r registry) {
	for name, fn := range map[string]any{
		"everything": everything, "retries": retries, "fails": fails, "cancelsActivity": cancelsActivity,
		"countsDown": countsDown, "markers": markers, "leavesOpen": leavesOpen, "plain": plain, "steps": steps,
	} {
		r.RegisterWorkflowWithOptions(fn, workflow.RegisterOptions{Name: name})
	}
}

type activityRegistry interface {
	RegisterActivityWithOptions(any, activity.RegisterOptions)
}

func registerActivities(r activityRegistry) {
	for name, fn := range map[string]any{
		"greet": greet, "join": join, "fails_twice": failsTwice, "never_good": neverGood,
		"waits_for_cancel": waitsForCancel, "left_open": leftOpen, "same": same,
	} {
		r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}
