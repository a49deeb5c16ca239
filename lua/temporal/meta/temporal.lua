---@meta temporal
-- What `require "temporal"` gives inside a workflow. See docs/lua.md.

---@class temporal
---@field null temporal.Null JSON null; equals only itself
---@field json temporal.json
---@field workflow temporal.workflow
---@field activity temporal.workflow.activity
local temporal = {}

---@class temporal.Null: userdata

---@class temporal.Bytes: userdata

---@alias temporal.Duration
---| number seconds
---| string numbers with units: "90s", "5m", "1h30m", "7d"

---@class temporal.FailureFields
---@field message? string
---@field type? string default: "ApplicationError"
---@field details? any a list of values, or one value
---@field cause? any
---@field non_retryable? boolean
---@field next_retry_delay? temporal.Duration
---@field category? "benign"

---@class temporal.Failure
---@field kind string what raised it: "ApplicationError", "ActivityError", "TimeoutError", "CancelledError", ...
---@field type string an application error's own type, else the kind
---@field message string
---@field cause? temporal.Failure
---@field stack_trace? string
---@field details? any[]
---@field non_retryable? boolean
---@field next_retry_delay? number seconds
---@field category? string
---@field activity_type? string
---@field activity_id? string
---@field retry_state? string
---@field timeout_type? string
---@field last_heartbeat_details? any[]

--- Makes an error that fails the workflow it is raised in: `failure(fields)`, or `failure(message, fields)`.
---@param message string|temporal.FailureFields
---@param fields? temporal.FailureFields the other fields
---@return temporal.Failure
---@nodiscard
function temporal.failure(message, fields) end

--- Whether the error is a table of the library; with a type, whether it or one of its causes has that
--- type or kind.
---@param err any
---@param type_name? string
---@return boolean
function temporal.is_failure(err, type_name) end

--- Whether the error or one of its causes is a CancelledError.
---@param err any
---@return boolean
function temporal.is_cancelled(err) end

--- Marks a table as a list, so that it is encoded as `[]` without items too.
---@generic T
---@param list? T[]
---@return T[]
function temporal.array(list) end

--- Whether the table was marked by temporal.array or decoded from a JSON list without items.
---@param value any
---@return boolean
function temporal.is_array(value) end

--- Raw bytes; `tostring` gives them back, `#` their number.
---@param text string|temporal.Bytes
---@return temporal.Bytes
function temporal.bytes(text) end

--- The number as an integer; raises when it has no integer form.
---@param number number
---@return integer
function temporal.int(number) end

---@class temporal.SearchAttribute
---@field type string
---@field value any

---@alias temporal.SearchAttributeType
---| "text"|"keyword"|"int"|"double"|"bool"|"datetime"|"keyword_list"
---| "Text"|"Keyword"|"Int"|"Double"|"Bool"|"Datetime"|"KeywordList"

--- A search attribute's value with its type.
---@param type temporal.SearchAttributeType
---@param value any
---@return temporal.SearchAttribute
function temporal.search_attribute(type, value) end

---@class temporal.SearchAttributeKey
---@field name string
---@field type temporal.SearchAttributeType
---@field value_set fun(self: temporal.SearchAttributeKey, value: any): table an item for lists of changes
---@field value_unset fun(self: temporal.SearchAttributeKey): table
---@field get fun(self: temporal.SearchAttributeKey, attributes: table<string, any>, default?: any): any

--- A search attribute's name with its type.
---@param name string
---@param type temporal.SearchAttributeType
---@return temporal.SearchAttributeKey
function temporal.search_attribute_key(name, type) end

---@alias temporal.ModelType string|table

---@class temporal.ModelOptions
---@field name string
---@field fields table<string, temporal.ModelType>
---@field check? fun(instance: table): boolean, string?
---@field additional_fields? boolean

--- A model: tables with declared fields, for arguments and results. Calling it with a table gives an instance.
---@param options temporal.ModelOptions
---@return temporal.Model
function temporal.model(options) end

--- A value of one of the messages in proto_types of the data converter.
---@param name string full name: "shop.v1.Order"
---@param fields? table
---@return table
function temporal.proto(name, fields) end

---@class temporal.json
local json = {}

---@param value any
---@return string
function json.encode(value) end

---@param text string
---@return any
function json.decode(text) end

return temporal
