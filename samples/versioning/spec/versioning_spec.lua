-- Goal: the sample does what its README says. Method: a copy of its folder, edited while it runs.
local temporal = require "temporal"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

local function edit(path, from, to)
  local file <close> = assert(io.open(path))
  local text, n = file:read("a"):gsub(from, to)
  assert.are.equal(1, n)
  local out <close> = assert(io.open(path, "w"))
  out:write(text)
end

describe("versioning", function()
  it("keeps applications on their version and moves accounts", function()
    local copy = os.tmpname()
    os.remove(copy)
    assert(os.execute(("cp -r %s %s"):format(root, copy)))
    local worker <close> = temporal.worker {
      task_queue = "loans", roots = { copy }, workflows = { "workflows.*" }, activities = { "activities.rates" },
      deployment_config = {
        name = "loans", build_id = "loans+{hash}", use_worker_versioning = true,
        default_versioning_behavior = "pinned",
      },
    }
    worker:start()
    local client = worker.client
    local first = worker:set_current_version()
    local function apply(id)
      local handle = client:start_workflow("Application", { id = id, task_queue = "loans" }, 1500)
      return handle, handle:query "limit"
    end
    local old, limit = apply "old"
    assert.are.equal(1000, limit)
    local account = client:start_workflow("Account", { id = "account", task_queue = "loans" }, 100)
    assert.are.equal(100, account:query "balance")
    edit(copy .. "/workflows/application.lua", "LIMIT = 1000", "LIMIT = 2000")
    edit(copy .. "/activities/rates.lua", "2 // 100", "50 // 100")
    local second, text = worker:reload()
    assert.is_string(second, text)
    local new
    new, limit = apply "new"
    assert.are.equal(2000, limit)
    old:signal "papers"
    new:signal "papers"
    assert.are.equal("refused", old:result())
    assert.are.equal("granted", new:result())
    account:signal "interest"
    account:signal "close"
    assert.are.equal(150, account:result())
    assert.are.equal(first, worker:rollback())
    local _, again = apply "again"
    assert.are.equal(1000, again)
    os.execute("rm -rf " .. copy)
  end)
end)
