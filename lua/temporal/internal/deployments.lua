--- Worker deployments in the client: what they are, where they send work, and on which version a run is.
local core = require "temporal.core"
local listing = require "temporal.internal.listing"
local options = require "temporal.internal.options"
local time_skipping = require "temporal.internal.time_skipping"

local deployments = {}

local text, boolean, duration = { kind = "string" }, { kind = "boolean" }, { kind = "duration" }
local number, table_kind, any = { kind = "number" }, { kind = "table" }, { kind = "any" }

---@class temporal.WorkerDeploymentHandle
---@field name string
local Deployment = {}
Deployment.__index = Deployment
Deployment.__name = "temporal.WorkerDeploymentHandle"

---@class temporal.WorkerDeploymentVersion
---@field deployment_name string
---@field build_id string

local function request(self, o, fields)
  fields.namespace = self.client.namespace
  fields.deployment_name = self.name
  fields.identity = self.client.identity
  fields.conflict_token = o.conflict_token
  return fields
end

local function version(self, build_id)
  return { deployment_name = self.name, build_id = build_id }
end

local function check_build_id(where, build_id)
  if type(build_id) ~= "string" or build_id == "" then
    error(("%s wants a build ID, got %s"):format(where, tostring(build_id)), 3)
  end
end

local plain_spec = { rpc_timeout = duration }

--- What the server knows of the deployment: `name`, `routing_config`, `version_summaries` (the newest
--- first; `status` and `drainage_status` as words), `manager_identity`, `last_modifier_identity`, times,
--- and `conflict_token` for a change that nobody else's change may come before.
---@param opts? { rpc_timeout?: temporal.Duration }
---@return table
function Deployment:describe(opts)
  local o = options.check("WorkerDeploymentHandle:describe", plain_spec, opts)
  local answer = self.client:call("DescribeWorkerDeployment", {
    namespace = self.client.namespace, deployment_name = self.name,
  }, o.rpc_timeout, true)
  local info = answer.worker_deployment_info
  info.conflict_token = answer.conflict_token
  return info
end

local routing_spec = {
  build_id = text,
  unversioned = boolean,
  ignore_missing_task_queues = boolean,
  allow_no_pollers = boolean,
  conflict_token = text,
  rpc_timeout = duration,
}
local ramping_spec = { percentage = number, delete = boolean }
for name, row in pairs(routing_spec) do
  ramping_spec[name] = row
end

--- Which version the options mean: exactly one way to say it.
local function target(where, o, ways)
  local given = 0
  for _, name in ipairs(ways) do
    given = given + ((o[name] ~= nil and o[name] ~= false) and 1 or 0)
  end
  if given ~= 1 or o.build_id == "" then
    error(("%s wants exactly one of %s"):format(where, table.concat(ways, ", ")), 3)
  end
  return o.build_id or ""
end

--- Sends new and auto-upgrading workflows to the version `build_id`, or with `unversioned = true` to workers
--- without a version. `allow_no_pollers` makes what does not exist; `ignore_missing_task_queues` goes on
--- although the version polls fewer task queues than the current one. Returns the version that was current,
--- nil for unversioned workers, and the new conflict token.
---@param opts table
---@return temporal.WorkerDeploymentVersion? previous
---@return string conflict_token
function Deployment:set_current_version(opts)
  local where = "WorkerDeploymentHandle:set_current_version"
  local o = options.check(where, routing_spec, opts)
  local answer = self.client:call("SetWorkerDeploymentCurrentVersion", request(self, o, {
    build_id = target(where, o, { "build_id", "unversioned" }),
    ignore_missing_task_queues = o.ignore_missing_task_queues,
    allow_no_pollers = o.allow_no_pollers,
  }), o.rpc_timeout)
  return answer.previous_deployment_version, answer.conflict_token
end

--- Sends `percentage` of the new and auto-upgrading workflows, chosen by their ids, to a version; with
--- `delete = true` to none. Other options as for set_current_version. Returns the version that ramped, its
--- percentage and the new conflict token.
---@param opts table
---@return temporal.WorkerDeploymentVersion? previous
---@return number previous_percentage
---@return string conflict_token
function Deployment:set_ramping_version(opts)
  local where = "WorkerDeploymentHandle:set_ramping_version"
  local o = options.check(where, ramping_spec, opts)
  if o.delete and o.percentage then
    error(where .. ": delete and percentage exclude each other", 2)
  end
  local answer = self.client:call("SetWorkerDeploymentRampingVersion", request(self, o, {
    build_id = target(where, o, { "build_id", "unversioned", "delete" }),
    percentage = o.percentage or 0,
    ignore_missing_task_queues = o.ignore_missing_task_queues,
    allow_no_pollers = o.allow_no_pollers,
  }), o.rpc_timeout)
  return answer.previous_deployment_version, answer.previous_percentage, answer.conflict_token
end

local manager_spec = { manager_identity = text, self = boolean, conflict_token = text, rpc_timeout = duration }

--- From now on only `manager_identity` (or, with `self = true`, the identity of this client) may change the
--- deployment; an empty text lets everybody again. Returns who it was.
---@param opts table
---@return string previous
function Deployment:set_manager_identity(opts)
  local where = "WorkerDeploymentHandle:set_manager_identity"
  local o = options.check(where, manager_spec, opts)
  if (o.manager_identity ~= nil) == (o.self == true) then
    error(where .. " wants exactly one of manager_identity, self", 2)
  end
  local answer = self.client:call("SetWorkerDeploymentManager", request(self, o, {
    manager_identity = o.manager_identity, self = o.self or nil,
  }), o.rpc_timeout)
  return answer.previous_manager_identity
end

--- Deletes the deployment, which must have no versions.
---@param opts? { rpc_timeout?: temporal.Duration }
function Deployment:delete(opts)
  local o = options.check("WorkerDeploymentHandle:delete", plain_spec, opts)
  self.client:call("DeleteWorkerDeployment", request(self, o, {}), o.rpc_timeout)
end

local describe_spec = { report_task_queue_stats = boolean, rpc_timeout = duration }

--- What the server knows of a version: `status`, `drainage_info` (its `status` as a word), `metadata` as
--- values, `task_queues` (name, type, and stats with `report_task_queue_stats`), times.
---@param build_id string
---@param opts? table
---@return table
function Deployment:describe_version(build_id, opts)
  check_build_id("WorkerDeploymentHandle:describe_version", build_id)
  local o = options.check("WorkerDeploymentHandle:describe_version", describe_spec, opts)
  local answer = self.client:call("DescribeWorkerDeploymentVersion", {
    namespace = self.client.namespace,
    deployment_version = version(self, build_id),
    report_task_queue_stats = o.report_task_queue_stats,
  }, o.rpc_timeout, true)
  local info = answer.worker_deployment_version_info
  local metadata = {}
  for key, bytes in pairs(info.metadata and info.metadata.entries or {}) do
    metadata[key] = self.client.data:decode_one(bytes)
  end
  info.metadata, info.task_queue_infos = metadata, nil
  info.task_queues = answer.version_task_queues or {}
  return info
end

local delete_spec = { skip_drainage = boolean, rpc_timeout = duration }

--- Deletes a version that nobody polls for and, unless `skip_drainage`, that has drained.
---@param build_id string
---@param opts? table
function Deployment:delete_version(build_id, opts)
  check_build_id("WorkerDeploymentHandle:delete_version", build_id)
  local o = options.check("WorkerDeploymentHandle:delete_version", delete_spec, opts)
  self.client:call("DeleteWorkerDeploymentVersion", {
    namespace = self.client.namespace,
    deployment_version = version(self, build_id),
    skip_drainage = o.skip_drainage,
    identity = self.client.identity,
  }, o.rpc_timeout)
end

local metadata_spec = { set = table_kind, remove = table_kind, rpc_timeout = duration }

--- Changes the metadata of a version: `set` is { key = value }, `remove` a list of keys. Returns all of it.
---@param build_id string
---@param opts { set?: table<string, any>, remove?: string[], rpc_timeout?: temporal.Duration }
---@return table<string, any>
function Deployment:update_version_metadata(build_id, opts)
  check_build_id("WorkerDeploymentHandle:update_version_metadata", build_id)
  local o = options.check("WorkerDeploymentHandle:update_version_metadata", metadata_spec, opts)
  local entries, metadata = {}, {}
  for key, value in pairs(o.set or {}) do
    entries[key] = self.client.data:encode_one(value)
  end
  local answer = self.client:call("UpdateWorkerDeploymentVersionMetadata", {
    namespace = self.client.namespace,
    deployment_version = version(self, build_id),
    upsert_entries = entries,
    remove_entries = o.remove,
    identity = self.client.identity,
  }, o.rpc_timeout)
  for key, bytes in pairs(answer.metadata and answer.metadata.entries or {}) do
    metadata[key] = self.client.data:decode_one(bytes)
  end
  return metadata
end

-- Overrides

local override_spec = {
  behavior = { kind = "enum", prefix = "VERSIONING_BEHAVIOR_", values = { "pinned", "auto_upgrade", "one_time" },
    required = true },
  deployment_name = text,
  build_id = text,
}

--- The message of a versioning override: { behavior = "pinned" or "one_time", deployment_name, build_id } or
--- { behavior = "auto_upgrade" }. nil for nil.
---@param where string
---@param given table?
---@param level integer as error's
---@return table?
function deployments.override(where, given, level)
  if given == nil then
    return nil
  end
  local o = options.check(where .. ": versioning_override", override_spec, given, level)
  local named = o.deployment_name ~= nil or o.build_id ~= nil
  if o.behavior == "auto_upgrade" then
    if named then
      error(where .. ": versioning_override: auto_upgrade goes without deployment_name and build_id", level)
    end
    return { auto_upgrade = true }
  end
  if not (o.deployment_name and o.build_id) then
    error(("%s: versioning_override: %s needs deployment_name and build_id"):format(where, o.behavior), level)
  end
  if o.behavior == "one_time" then
    return {
      one_time = { target_deployment_version = { deployment_name = o.deployment_name, build_id = o.build_id } },
    }
  end
  return {
    pinned = {
      behavior = "PINNED_OVERRIDE_BEHAVIOR_PINNED",
      version = { deployment_name = o.deployment_name, build_id = o.build_id },
    },
  }
end

--- Where the server has what the options say.
local update_paths = { versioning_override = "versioning_override", time_skipping = "time_skipping_config" }
local update_spec = { versioning_override = any, time_skipping = any, rpc_timeout = duration }
local list_spec = { page_size = { kind = "integer" }, rpc_timeout = duration }

--- Adds the functions to client and workflow handles.
function deployments.install(Client, Handle)
  --- A handle to a worker deployment; nothing is asked of the server yet.
  ---@param name string
  ---@return temporal.WorkerDeploymentHandle
  function Client:get_worker_deployment_handle(name)
    if type(name) ~= "string" or name == "" then
      error("get_worker_deployment_handle wants the name of a worker deployment, got " .. tostring(name), 2)
    end
    return setmetatable({ client = self, name = name }, Deployment)
  end

  --- Makes a worker deployment before its first worker polls and returns its handle.
  ---@param name string
  ---@param opts? { rpc_timeout?: temporal.Duration }
  ---@return temporal.WorkerDeploymentHandle
  function Client:create_worker_deployment(name, opts)
    local o = options.check("create_worker_deployment", plain_spec, opts)
    local handle = self:get_worker_deployment_handle(name)
    self:call("CreateWorkerDeployment", {
      namespace = self.namespace, deployment_name = name, identity = self.identity, request_id = core.uuid(),
    }, o.rpc_timeout)
    return handle
  end

  --- Iterates over the worker deployments of the namespace: tables with `name`, `create_time`,
  --- `routing_config`, `latest_version_summary`, `current_version_summary`, `ramping_version_summary`.
  ---@param opts? { page_size?: integer, rpc_timeout?: temporal.Duration }
  ---@return fun(): table?
  function Client:list_worker_deployments(opts)
    local o = options.check("list_worker_deployments", list_spec, opts)
    return listing.pages(function(token)
      local answer = self:call("ListWorkerDeployments", {
        namespace = self.namespace, page_size = o.page_size, next_page_token = token,
      }, o.rpc_timeout, true)
      return answer.worker_deployments, answer.next_page_token
    end)
  end

  --- Changes options of a run that exists: `versioning_override` pins it to a version or lets it upgrade,
  --- `time_skipping` is its new configuration; false removes what there is.
  ---@param opts { versioning_override?: table|false, time_skipping?: boolean|temporal.TimeSkippingConfig,
  --- rpc_timeout?: temporal.Duration }
  function Handle:update_options(opts)
    local o = options.check("update_options", update_spec, opts)
    local paths = {}
    for _, name in ipairs { "versioning_override", "time_skipping" } do
      paths[#paths + 1] = o[name] ~= nil and update_paths[name] or nil
    end
    if #paths == 0 then
      error("update_options: option 'versioning_override' or 'time_skipping' is required (false removes it)", 2)
    end
    self.client:call("UpdateWorkflowExecutionOptions", {
      namespace = self.client.namespace,
      workflow_execution = { workflow_id = self.id, run_id = self.run_id or "" },
      workflow_execution_options = {
        versioning_override = deployments.override("update_options", o.versioning_override or nil, 3),
        time_skipping_config = time_skipping.message("update_options", o.time_skipping, 2),
      },
      update_mask = { paths = paths },
      identity = self.client.identity,
    }, o.rpc_timeout)
  end
end

--- Versions of deployments as one text, "<deployment_name>.<build_id>".
deployments.version = {}

--- The version that a text names; the first dot ends the deployment's name.
---@param canonical string
---@return temporal.WorkerDeploymentVersion
function deployments.version.from_canonical_string(canonical)
  local name, build_id = tostring(canonical):match "^([^.]+)%.(.+)$"
  if type(canonical) ~= "string" or not name then
    error(("deployment_version.from_canonical_string: '%s' is not <deployment_name>.<build_id>"):format(
      tostring(canonical)), 2)
  end
  return { deployment_name = name, build_id = build_id }
end

--- The text of a version.
---@param given temporal.WorkerDeploymentVersion
---@return string
function deployments.version.to_canonical_string(given)
  local o = options.check("deployment_version.to_canonical_string", {
    deployment_name = { kind = "string", required = true }, build_id = { kind = "string", required = true },
  }, given)
  if o.deployment_name == "" or o.deployment_name:find(".", 1, true) then
    error(("deployment_version.to_canonical_string: the deployment's name '%s' is empty or has a dot"):format(
      o.deployment_name), 2)
  end
  return o.deployment_name .. "." .. o.build_id
end

return deployments
