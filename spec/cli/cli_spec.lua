local helper = require "helper"

local fixtures = "spec/fixtures/histories/"

describe("command line", function()
  it("tells version and help", function()
    local code, output = helper.run(helper.binary .. " --version")
    assert.are.equal(0, code)
    assert.matches("^temporal%-lua version %d", output)
    code, output = helper.run(helper.binary .. " --help")
    assert.are.equal(0, code)
    assert.matches("worker run", output)
    code, output = helper.run(helper.binary .. " workflow show --help")
    assert.are.equal(0, code)
    assert.matches("%-%-history%-file", output)
  end)

  it("tells the commands of a group", function()
    local code, output = helper.run(helper.binary .. " operator cluster --help")
    assert.are.equal(0, code)
    assert.matches("operator cluster health", output)
    assert.is_nil(output:find("workflow start", 1, true))
    local _, errors
    code, output, errors = helper.run(helper.binary .. " operator")
    assert.are.equal(2, code)
    assert.are.equal("", output)
    assert.matches("operator namespace list", errors)
    code, _, errors = helper.run(helper.binary .. " operator frob")
    assert.are.equal(2, code)
    assert.matches("unknown command 'operator frob'", errors)
  end)

  it("takes the value of a short option from the same word", function()
    local fixture = "spec/fixtures/histories/"
    local name = assert(io.popen("ls " .. fixture .. "*.json")):read "l"
    for _, option in ipairs { "-ojson", "-o=json", "-o json" } do
      local code, output = helper.run(("%s workflow show --history-file %s %s"):format(helper.binary, name, option))
      assert.are.equal(0, code)
      assert.matches('"events"', output)
    end
    local code, _, errors = helper.run(helper.binary .. " workflow show -fx")
    assert.are.equal(2, code)
    assert.matches("unknown option '%-fx'", errors)
  end)

  it("refuses what it does not know, with exit code 2 and the near match", function()
    local code, _, errors = helper.run(helper.binary .. " workflw show")
    assert.are.equal(2, code)
    assert.matches("workflw", errors)
    code, _, errors = helper.run(helper.binary .. " workflow show --workflow-idd x")
    assert.are.equal(2, code)
    assert.matches("'%-%-workflow%-id'", errors)
    code, _, errors = helper.run(helper.binary .. " bench --duration soon")
    assert.are.equal(2, code)
    assert.matches("'soon' is not a duration", errors)
    code, _, errors = helper.run(helper.binary .. " replay --workflows x")
    assert.are.equal(2, code)
    assert.matches("HISTORY%-FILE", errors)
    code, _, errors = helper.run(helper.binary .. " replay --workflows x --output xml y")
    assert.are.equal(2, code)
    assert.matches("text, json, jsonl or none, got 'xml'", errors)
    code, _, errors = helper.run(helper.binary .. " workflow show")
    assert.are.equal(2, code)
    assert.matches("history%-file", errors)
  end)

  it("says which file it cannot read", function()
    local code, _, errors = helper.run(helper.binary .. " workflow show --history-file /no/such/file")
    assert.are.equal(1, code)
    assert.matches("/no/such/file", errors)
    local file <close> = helper.file "{ this is not a history"
    code, _, errors = helper.run(helper.binary .. " workflow show --history-file " .. file.name)
    assert.are.equal(1, code)
    assert.is_true(#errors > 0)
  end)

  it("draws a history and writes it back as JSON", function()
    local list = assert(io.popen("ls " .. fixtures .. "*.json")):read "a"
    for file in list:gmatch "[^\n]+" do
      local code, output = helper.run(helper.binary .. " workflow show --history-file " .. file)
      assert.are.equal(0, code)
      assert.matches("workflow ", output)
      assert.matches("started", output)
      code, output = helper.run(helper.binary .. " workflow show --output json --history-file " .. file)
      assert.are.equal(0, code)
      assert.matches('"events"', output)
    end
  end)

  it("runs a script with its arguments and reports its errors", function()
    local file <close> = helper.file "print(require('temporal').version, ...) error('broken')"
    local code, output, errors = helper.run(("%s run %s a b"):format(helper.binary, file.name))
    assert.are.equal(1, code)
    assert.matches("a\tb", output)
    assert.matches("broken", errors)
  end)

  it("refuses a worker script that returns no worker", function()
    local file <close> = helper.file "return 42"
    local code, _, errors = helper.run(("%s worker run %s"):format(helper.binary, file.name))
    assert.are.equal(1, code)
    assert.matches("returns no worker", errors)
  end)

  it("runs a worker by its short form", function()
    local script <close> = helper.file "return 5"
    local name = script.name .. ".lua"
    assert(os.rename(script.name, name))
    for _, form in ipairs { "worker %s", "worker run %s", "worker --log-level error %s" } do
      local code, _, errors = helper.run((helper.binary .. " " .. form):format(name))
      assert.are.equal(1, code)
      assert.matches("returns no worker", errors)
    end
    os.remove(name)
    local code, _, errors = helper.run(helper.binary .. " worker relod")
    assert.are.equal(2, code)
    assert.matches("unknown command 'worker relod'", errors)
    local helped, output = helper.run(helper.binary .. " worker --help")
    assert.are.equal(0, helped)
    assert.matches("worker rollback", output)
    local frobbed, _, message = helper.run(helper.binary .. " worker --frob")
    assert.are.equal(2, frobbed)
    assert.matches("worker run: unknown option", message)
  end)

  it("loads the worker of every sample, with the modules beside it", function()
    -- That of mtls wants certificates; its own spec starts it.
    local _, list = helper.run "ls samples/*/worker.lua | grep -v mtls"
    for script in list:gmatch "%S+" do
      local code, output, errors = helper.run(("LD_LIBRARY_PATH=%s/samples SHOP_SPANS=/dev/null %s worker build-id %s")
        :format(helper.build, helper.binary, script))
      assert.are.equal(0, code, script .. ": " .. errors)
      assert.are_not.equal("", output)
      assert.are.equal("", (output:gsub("%w+\t[%w+]+\n", ""))) -- a script may give several workers
    end
  end)

  it("runs a worker until SIGTERM and leaves in order", function()
    local script <close> = helper.file [[
      local temporal = require "temporal"
      return temporal.worker { task_queue = "q", activities = { hello = function() end } }
    ]]
    -- It has a pipe as output: the first line says that it runs, the end of the pipe that it has left.
    local command = "sh -c '" .. [[
      pipe=$(mktemp -u) && mkfifo "$pipe" || exit 9
      %s worker run %s >"$pipe" & pid=$!
      exec 3<"$pipe"; rm "$pipe"
      read -r line <&3; echo "$line"
      kill -TERM $pid; cat <&3; wait $pid
    ]] .. "'"
    local code, output = helper.run(command:format(helper.binary, script.name))
    assert.are.equal(0, code, output)
    assert.matches("worker on task queue 'q' is running", output)
  end)
end)
