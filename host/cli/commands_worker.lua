-- The commands on workers as a service knows them. commands.lua calls it with the pieces that commands share.

local system_workers = {
  name = "include-system-workers",
  kind = "boolean",
  help = "Workers of the service's own too, where it has some",
}

---@param parts table
---@return cli.Command[]
return function(parts)
  local service, query = parts.service, parts.query
  return {
    {
      path = "worker count",
      summary = "Count workers that have told of themselves in the last minutes",
      handler = "worker_count",
      options = service { query, system_workers },
    },
    {
      path = "worker describe",
      summary = "Show what a worker last told of itself",
      handler = "worker_describe",
      options = service {
        { name = "worker-instance-key", kind = "string", required = true, help = "Key of the worker, see worker list" },
      },
    },
    {
      path = "worker list",
      summary = "List workers that have told of themselves in the last minutes",
      handler = "worker_list",
      options = service {
        query,
        { name = "limit", kind = "integer", default = "0", help = "Workers at most; 0 is all" },
        system_workers,
      },
    },
  }
end
