package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
)

const queue = "go-queue"

// environment is a server of ours in a process of its own and the SDK's client of it.
type environment struct {
	context.Context
	binary, address, folder string
	client                  client.Client
}

type checkCase struct {
	name string
	run  func(e *environment)
}

// failure is what must and its kin end a case with.
type failure struct{ text string }

func must(err error) {
	if err != nil {
		panic(failure{at() + err.Error()})
	}
}

func equal(got, want any) {
	if !reflect.DeepEqual(got, want) {
		panic(failure{fmt.Sprintf("%sgot %v, want %v", at(), got, want)})
	}
}

// as is errors.As that ends the case when the error is of another type.
func as[T error](err error) T {
	var out T
	if !errors.As(err, &out) {
		panic(failure{fmt.Sprintf("%sgot %T %v, want %T", at(), err, err, out)})
	}
	return out
}

func at() string {
	_, file, line, _ := runtime.Caller(2)
	return fmt.Sprintf("%s:%d: ", filepath.Base(file), line)
}

// eventually asks until the answer is yes.
func eventually(what string, ask func() bool) {
	for range 200 {
		if ask() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	panic(failure{at() + "never came: " + what})
}

func quiet() log.Logger {
	return log.NewStructuredLogger(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
}

// serverProcess is our server; its first line tells the address.
func startServer(binary string) (*exec.Cmd, string, error) {
	process := exec.Command(binary, "server", "start-dev", "--port", "0", "--headless")
	process.Stderr = os.Stderr
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := process.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(line)
	if err != nil || len(words) != 2 || words[0] != "Server:" {
		_ = process.Process.Kill()
		return nil, "", fmt.Errorf("the server did not become ready: %q %v", line, err)
	}
	return process, words[1], nil
}

// stop asks a process to end and says what was wrong with its end.
func stop(process *exec.Cmd) error {
	ended := make(chan error, 1)
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	go func() { ended <- process.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(15 * time.Second):
		_ = process.Process.Kill()
		return errors.New("it did not stop within 15 s")
	}
}

func newWorker(c client.Client, name string) worker.Worker {
	w := worker.New(c, name, worker.Options{WorkerStopTimeout: 5 * time.Second})
	registerWorkflows(w)
	registerActivities(w)
	return w
}

func (e *environment) start(id, workflow string, args ...any) client.WorkflowRun {
	run, err := e.client.ExecuteWorkflow(e, client.StartWorkflowOptions{ID: id, TaskQueue: queue}, workflow, args...)
	if err != nil {
		panic(failure{at() + err.Error()})
	}
	return run
}

// runCase gives the reason why a case failed, or "".
func runCase(e *environment, c checkCase) (reason string) {
	ctx, cancel := context.WithTimeout(e.Context, 40*time.Second)
	defer cancel()
	mine := *e
	mine.Context = ctx
	defer func() {
		if caught := recover(); caught != nil {
			if known, ok := caught.(failure); ok {
				reason = known.text
			} else {
				reason = fmt.Sprint(caught)
			}
			if reason == "" {
				reason = "failed"
			}
		}
	}()
	c.run(&mine)
	return ""
}

func check(binary string) int {
	total := len(cases) + 1
	fmt.Printf("1..%d\n", total)
	number, failed := 0, 0
	report := func(name, reason string) {
		number++
		if reason == "" {
			fmt.Printf("ok %d - %s\n", number, name)
			return
		}
		failed++
		fmt.Printf("not ok %d - %s\n# %s\n", number, name, strings.ReplaceAll(reason, "\n", "\n# "))
	}
	server, address, err := startServer(binary)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	folder, err := os.MkdirTemp("", "go-check")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		_ = stop(server)
		return 1
	}
	e := &environment{context.Background(), binary, address, folder, c}
	w := newWorker(c, queue)
	if err := w.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		_ = stop(server)
		return 1
	}
	for _, one := range cases {
		report(one.name, runCase(e, one))
	}
	w.Stop()
	c.Close()
	reason := ""
	if err := stop(server); err != nil {
		reason = err.Error()
	}
	report("server stops cleanly", reason)
	if failed > 0 {
		return 1
	}
	return 0
}
