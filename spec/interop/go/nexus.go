// Nexus: a service in Lua, used by a workflow of the Go SDK.

package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"go.temporal.io/api/nexus/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const luaServiceScript = `
local nexus = require "temporal.nexus"
local temporal = require "temporal"
return temporal.worker {
  task_queue = "lua-service",
  workflows = { { name = "ship", source = [[
    local workflow = require "temporal.workflow"
    workflow.define("Ship", function(where)
      workflow.wait_condition(function() return where ~= "wait" end)
      return "shipped to " .. where
    end)]] } },
  nexus_services = { nexus.service("Shipping", {
    price = function(where) return where .. " by " .. nexus.info().endpoint end,
    ship = nexus.workflow_run_operation(function(where)
      return nexus.start_workflow("Ship", { id = "lua-ship-" .. where }, where)
    end),
    refuse = function() error(nexus.handler_error { type = "bad_request", message = "not there" }) end,
  }) },
}
`

// callLua runs an operation of the service; one that waits is cancelled once it has started.
func callLua(ctx workflow.Context, operation, where string) (string, error) {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	shipping := workflow.NewNexusClient("lua-endpoint", "Shipping")
	end := shipping.ExecuteOperation(ctx, operation, where,
		workflow.NexusOperationOptions{ScheduleToCloseTimeout: 30 * time.Second})
	if where == "wait" {
		var started workflow.NexusOperationExecution
		if err := end.GetNexusOperationExecution().Get(ctx, &started); err != nil {
			return "", err
		}
		cancel()
	}
	var result string
	err := end.Get(ctx, &result)
	return result, err
}

func caseLuaService(e *environment) {
	process := exec.Command(e.binary, "worker", "run", "--address", e.address, e.write("service.lua", luaServiceScript))
	process.Stderr = os.Stderr
	must(process.Start())
	defer func() { must(stop(process)) }()
	_, err := e.client.OperatorService().CreateNexusEndpoint(e, &operatorservice.CreateNexusEndpointRequest{
		Spec: &nexus.EndpointSpec{Name: "lua-endpoint", Target: &nexus.EndpointTarget{
			Variant: &nexus.EndpointTarget_Worker_{Worker: &nexus.EndpointTarget_Worker{
				Namespace: "default", TaskQueue: "lua-service"}}}},
	})
	must(err)
	w := worker.New(e.client, "go-callers", worker.Options{})
	w.RegisterWorkflow(callLua)
	must(w.Start())
	defer w.Stop()
	call := func(operation, where string) (string, error) {
		run, err := e.client.ExecuteWorkflow(e, client.StartWorkflowOptions{
			ID: "go-calls-" + operation + "-" + where, TaskQueue: "go-callers"}, callLua, operation, where)
		must(err)
		var result string
		err = run.Get(e, &result)
		return result, err
	}
	for operation, want := range map[string]string{"price": "Rome by lua-endpoint", "ship": "shipped to Rome"} {
		result, err := call(operation, "Rome")
		must(err)
		equal(result, want)
	}
	_, err = call("refuse", "Rome")
	as[*temporal.NexusOperationError](err)
	equal(strings.Contains(err.Error(), "not there"), true)
	_, err = call("ship", "wait")
	var canceled *temporal.CanceledError
	equal(errors.As(err, &canceled), true)
}
