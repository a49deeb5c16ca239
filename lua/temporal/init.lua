--- temporal: durable workflows in Lua. This is the module of host scripts (workers, clients, specs);
--- inside a workflow the same names exist with the sandbox's own implementation.
local core = require "temporal.core"
local client = require "temporal.client"
local converter = require "temporal.converter"
local deployments = require "temporal.internal.deployments"
local history = require "temporal.history"
local plugins = require "temporal.internal.plugins"
local model = require "temporal.model"
local proto = require "temporal.proto"
local replayer = require "temporal.replayer"
local search_attributes = require "temporal.internal.search_attributes"
local tuner = require "temporal.internal.tuner"
local worker = require "temporal.worker"

converter.codec.serve = require "temporal.internal.codec_server"

local temporal = {
  --- JSON null: stays in tables and arrays where nil would vanish.
  null = core.null,
  --- Marks a table as an array, so that an empty one encodes as `[]`.
  array = core.array,
  --- Raw bytes, sent as binary/plain.
  bytes = core.bytes,
  --- A float with an integral value as an integer, for receivers that want one.
  int = core.int,
  --- A search attribute's value with its type.
  search_attribute = search_attributes.typed,
  --- A search attribute's name with its type.
  search_attribute_key = search_attributes.key,
  connect = client.connect,
  --- Versions of worker deployments as text and back.
  deployment_version = deployments.version,
  --- What happens to values between the program and the service.
  data_converter = converter.data_converter,
  --- The built-in payload codecs.
  codec = converter.codec,
  --- Large payloads kept elsewhere, and the built-in drivers for it.
  external_storage = converter.external_storage,
  storage = converter.storage,
  --- Tables with declared fields, for arguments and results.
  model = model.new,
  worker = worker,
  --- Metrics, health and log lines of the process.
  runtime = require "temporal.runtime",
  --- JSON text of a value, as payloads have it, and back.
  json = { encode = core.json_encode, decode = core.json_decode },
  --- Protobuf values of the user's messages.
  proto = proto.new,
  --- Histories as values: from_json, from_protobuf, from_file.
  history = history,
  replayer = replayer.new,
  --- How many tasks of each kind a worker has in work at once.
  tuner = {
    fixed = tuner.fixed, resource_based = tuner.resource_based, composite = tuner.composite,
    supplier = tuner.supplier, custom = tuner.custom,
  },
  --- What configures clients, workers and replayers and stands around their running.
  plugin = plugins.new,
  simple_plugin = plugins.simple,
  version = core.version,
}

---@class temporal.FailureFields
---@field message? string
---@field type? string
---@field details? any[]
---@field cause? any
---@field non_retryable? boolean
---@field next_retry_delay? number|string
---@field category? string

--- Makes an error that fails the workflow or activity it is raised in: `failure(fields)`, or
--- `failure(message, fields)`.
---@param message string|temporal.FailureFields
---@param fields? temporal.FailureFields the other fields
---@return temporal.Failure
function temporal.failure(message, fields)
  return core.make_failure(message, fields)
end

--- Whether the error, or a cause of it, is a failure (of the given type).
---@param err any
---@param type_name? string
---@return boolean
function temporal.is_failure(err, type_name)
  return core.is_failure(err, type_name)
end

--- Whether the error, or a cause of it, is a cancellation.
---@param err any
---@return boolean
function temporal.is_cancelled(err)
  return core.is_failure(err, "CancelledError")
end

return temporal
