--- Lists that are asked for page by page, and counts: what those of workflows, activities, Nexus operations,
--- worker deployments and Nexus endpoints share.
local interceptors = require "temporal.internal.interceptors"
local options = require "temporal.internal.options"
local search_attributes = require "temporal.internal.search_attributes"

local listing = {}

---@class temporal.ListOptions
---@field page_size? integer
---@field limit? integer
---@field rpc_timeout? number|string

--- The fields of temporal.ListOptions.
listing.spec = {
  page_size = { kind = "integer" }, limit = { kind = "integer" }, rpc_timeout = { kind = "duration" },
}

--- Iterates over the items of all pages. ask(token) returns a page's items and the token of the next page.
---@param ask fun(token: string): table[]?, string?
---@param limit? integer how many at most
---@param read? fun(item: table): table what an item is to look like
---@return fun(): table?
function listing.pages(ask, limit, read)
  local page, at, token, left = {}, 0, "", limit or math.huge
  local done = false
  return function()
    while at >= #page and not done and left > 0 do
      local items, next_token = ask(token)
      page, at, token = items or {}, 0, next_token or ""
      done = token == ""
    end
    at, left = at + 1, left - 1
    local item = left >= 0 and page[at] or nil
    return item and read and read(item) or item
  end
end

---@class temporal.Listing
---@field name string the method of the client, and its hook
---@field rpc string
---@field items string the field of the answer
---@field read fun(item: table, client: temporal.Client): table what an item in words is to look like

local function list_now(client, what, query, o)
  return listing.pages(function(token)
    local response = client:call(what.rpc, {
      namespace = client.namespace,
      query = query or "",
      page_size = math.min(o.page_size or 200, o.limit or 1000),
      next_page_token = token,
    }, o.rpc_timeout, true)
    return response[what.items], response.next_page_token
  end, o.limit, function(item) return what.read(item, client) end)
end

--- The body of a client's list method, which calls it last: errors name the line that called the method.
---@param client temporal.Client
---@param what temporal.Listing
---@param query? string
---@param opts? temporal.ListOptions
---@return fun(): table?
function listing.list(client, what, query, opts)
  local o = options.check(what.name, listing.spec, opts or {})
  for _, name in ipairs { "page_size", "limit" } do
    if o[name] and o[name] < 1 then
      error(("%s: %s wants a number from 1 up, got %d"):format(what.name, name, o[name]), 2)
    end
  end
  local input = options.copy(opts)
  input.query = query
  return interceptors.call(client.hooks, what.name, input, function(i)
    return list_now(client, what, i.query,
      options.check(what.name, listing.spec, interceptors.options(i, "query"), 0))
  end)
end

--- The body of a client's count method.
---@param client temporal.Client
---@param name string the method, and its hook
---@param rpc string
---@param query? string
---@return integer
---@return { count: integer, values: any[] }[]? groups
function listing.count(client, name, rpc, query)
  return interceptors.call(client.hooks, name, { query = query }, function(input)
    local response = client:call(rpc, { namespace = client.namespace, query = input.query or "" })
    local groups = search_attributes.groups(response)
    if #groups > 0 then
      return response.count, groups
    end
    return response.count
  end)
end

return listing
