local helper = require "helper"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

describe("embedding", function()
  it("runs a workflow with a C activity in a C program", function()
    local code, output = helper.run(("%s/samples/embedding %s Ada"):format(helper.build, root))
    assert.are.equal('"Dear Ada, welcome to welcome-1"\n', output)
    assert.are.equal(0, code)
  end)

  it("tells what is wrong with its scripts", function()
    local code, _, errors = helper.run(("%s/samples/embedding /nowhere Ada"):format(helper.build))
    assert.are.equal(1, code)
    assert.matches("workflows%.welcome", errors)
  end)

  it("builds as a user builds it, with header and library alone", function()
    local program = os.tmpname()
    local runtime_first = helper.sanitized and "-fsanitize=address" or ""
    local code, _, errors = helper.run(("cc -std=c11 -Wall -Wextra -Werror %s -Ihost/include -o %s %s/main.c -L%s "
      .. "-ltemporal_lua -Wl,-rpath,$(realpath %s)"):format(runtime_first, program, root, helper.build, helper.build))
    assert.are.equal("", helper.sanitized and "" or errors) -- libasan has warnings of its own
    assert.are.equal(0, code, errors)
    assert.are.equal(0, (helper.run(("%s %s Bob"):format(program, root))))
    os.remove(program)
  end)
end)
