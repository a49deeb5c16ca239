package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

func steps(ctx workflow.Context, n int) (int, error) {
	ctx = workflow.WithActivityOptions(ctx, options(10*time.Second))
	sum := 0
	for i := 1; i <= n; i++ {
		var got int
		if err := workflow.ExecuteActivity(ctx, "same", i).Get(ctx, &got); err != nil {
			return 0, err
		}
		sum += got
	}
	return sum, nil
}

func cpuMicroseconds() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Utime.Nano()/1000 + usage.Stime.Nano()/1000
}

func stepsWorker(c client.Client, queue string) worker.Worker {
	w := worker.New(c, queue, worker.Options{
		MaxConcurrentWorkflowTaskPollers: 8, MaxConcurrentActivityTaskPollers: 8,
	})
	w.RegisterWorkflowWithOptions(steps, workflow.RegisterOptions{Name: "steps"})
	w.RegisterActivityWithOptions(same, activity.RegisterOptions{Name: "same"})
	return w
}

// stepsOnly is the worker of load by itself, until it is told to stop.
func stepsOnly(address, queue string) int {
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet()})
	if err == nil {
		defer c.Close()
		err = stepsWorker(c, queue).Run(worker.InterruptCh())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// load keeps a number of workflows running for a time, all in this process, and prints one JSON object.
func load(address string, args []string) int {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	inFlight := flags.Int("in-flight", 64, "workflows kept running")
	seconds := flags.Float64("seconds", 3, "time of the measurement")
	activities := flags.Int("activities", 1, "activities of each workflow, one after the other")
	if flags.Parse(args) != nil {
		return 2
	}
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer c.Close()
	queue := fmt.Sprintf("go-load-%d", os.Getpid())
	w := stepsWorker(c, queue)
	if err := w.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer w.Stop()
	run := func(id string) error {
		h, err := c.ExecuteWorkflow(context.Background(),
			client.StartWorkflowOptions{ID: id, TaskQueue: queue}, "steps", *activities)
		if err != nil {
			return err
		}
		var sum int
		if err := h.Get(context.Background(), &sum); err != nil {
			return err
		}
		if want := *activities * (*activities + 1) / 2; sum != want {
			return fmt.Errorf("got %d, want %d", sum, want)
		}
		return nil
	}
	if err := run(queue + "-first"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var lock sync.Mutex
	var group sync.WaitGroup
	latencies, failed := []float64{}, 0
	began, cpu := time.Now(), cpuMicroseconds()
	end := began.Add(time.Duration(*seconds * float64(time.Second)))
	for slot := 0; slot < *inFlight; slot++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := 0; time.Now().Before(end); i++ {
				from := time.Now()
				err := run(fmt.Sprintf("%s-%d-%d", queue, slot, i))
				lock.Lock()
				if err != nil {
					failed++
					fmt.Fprintln(os.Stderr, err)
				} else {
					latencies = append(latencies, time.Since(from).Seconds()*1000)
				}
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	took := time.Since(began).Seconds()
	sort.Float64s(latencies)
	n := len(latencies)
	if n == 0 {
		return 1
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"per_second": float64(n) / took, "completed": n, "failed": failed, "seconds": took,
		"p50_ms": latencies[n/2], "p99_ms": latencies[n*99/100],
		"cpu_us_each": float64(cpuMicroseconds()-cpu) / float64(n),
	})
	if failed > 0 {
		return 1
	}
	return 0
}
