package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// recorded runs one workflow of n activities and returns its history, decoded.
func recorded(c client.Client, n int) (*history.History, error) {
	queue := fmt.Sprintf("go-replay-%d", os.Getpid())
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(steps, workflow.RegisterOptions{Name: "steps"})
	w.RegisterActivityWithOptions(same, activity.RegisterOptions{Name: "same"})
	if err := w.Start(); err != nil {
		return nil, err
	}
	defer w.Stop()
	h, err := c.ExecuteWorkflow(context.Background(), client.StartWorkflowOptions{ID: queue, TaskQueue: queue}, "steps", n)
	if err == nil {
		err = h.Get(context.Background(), nil)
	}
	if err != nil {
		return nil, err
	}
	out := &history.History{}
	events := c.GetWorkflowHistory(context.Background(), queue, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		out.Events = append(out.Events, event)
	}
	return out, nil
}

// replay measures how fast the SDK's replayer goes through one history, by CPU time, and prints one JSON object.
func replay(address string, args []string) int {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	seconds := flags.Float64("seconds", 3, "time of the measurement")
	activities := flags.Int("activities", 1000, "activities of the workflow, one after the other")
	if flags.Parse(args) != nil {
		return 2
	}
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	h, err := recorded(c, *activities)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	replayer := worker.NewWorkflowReplayer()
	replayer.RegisterWorkflowWithOptions(steps, workflow.RegisterOptions{Name: "steps"})
	events, began, cpu := 0, time.Now(), cpuMicroseconds()
	for time.Since(began).Seconds() < *seconds {
		if err := replayer.ReplayWorkflowHistory(quiet(), h); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		events += len(h.Events)
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"events_per_second": float64(events) / (float64(cpuMicroseconds()-cpu) / 1e6), "events": len(h.Events),
	})
	return 0
}
