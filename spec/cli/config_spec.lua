--- Commands about settings in files: config (profiles of temporal.toml) and env (environments of temporal.yaml).
local helper = require "helper"

local folder

local function lua(arguments, environment)
  return helper.run(("env HOME=%s XDG_CONFIG_HOME= TEMPORAL_ADDRESS= %s %s %s"):format(
    folder, environment or "", helper.binary, arguments))
end

local function says(arguments, environment)
  local code, output, errors = lua(arguments, environment)
  assert.are.equal(0, code, errors)
  return output
end

local function refuses(arguments, code, message)
  local got, output, errors = lua(arguments)
  assert.are.equal(code, got, output)
  assert.matches(message, errors, 1, true)
end

local function read(name)
  local file <close> = assert(io.open(folder .. "/.config/temporalio/" .. name))
  return file:read "a"
end

before_each(function()
  folder = os.tmpname()
  os.remove(folder)
end)

after_each(function()
  os.execute("rm -rf " .. folder)
end)

describe("a key that is not known", function()
  it("is told in one line, with the name it is like", function()
    os.execute("mkdir -p " .. folder .. "/.config/temporalio")
    local path = folder .. "/.config/temporalio/temporal.toml"
    local file <close> = assert(io.open(path, "w"))
    file:write '[profile.default]\nadress = "host:1"\nnamespace = "shop"\n[profiles.other]\nnamespace = "x"\n'
    file:write '[profile.other]\nlater = 1\n' -- a profile that is not used
    file:close()
    local _, _, errors = lua("workflow count --db-filename " .. folder .. "/none.db")
    local first, second, rest = errors:match "^([^\n]+)\n([^\n]+)\n(.*)$"
    assert.matches("^temporal%-lua: cannot read the database [^\n]+\n$", rest)
    assert.matches(" warn  config.key_ignored file=" .. path:gsub("%W", "%%%0")
      .. " cause=\"'adress' is not a setting of a profile %(did you mean 'address'%?%)\"$", first)
    assert.matches("'profiles' does not belong to a profile %(did you mean 'profile'%?%)", second)
  end)
end)

describe("config", function()
  it("sets, shows and takes out properties", function()
    says "config set -p address -v host:1"
    says "config set -p tls.client_cert_path -v /c.pem"
    says "config set -p grpc_meta.X_Trace -v t"
    assert.are.equal([[
{"address":"host:1","grpc_meta":{"x-trace":"t"},"tls":{"client_cert_path":"/c.pem"}}
]], says "config get -o jsonl")
    assert.matches("grpc_meta.x%-trace +t", says "config get")
    assert.are.equal('{"property":"tls","value":true}\n', says "config get -p tls -o jsonl")
    assert.are.equal('{"property":"tls.disabled","value":false}\n', says "config get -p tls.disabled -o jsonl")
    says "config delete -p tls"
    assert.are.equal([[
[profile.default]
address = "host:1"

[profile.default.grpc_meta]
X_Trace = "t"
]], read "temporal.toml")
    refuses("config delete -p tls", 1, '"tls" is not set in profile "default"')
  end)

  it("keeps profiles apart", function()
    says "config set --profile b -p address -v host:2"
    says("config set -p address -v host:3", "TEMPORAL_PROFILE=a")
    assert.are.equal('{"name":"a"}\n{"name":"b"}\n', says "config list -o jsonl")
    refuses("config get", 1, 'profile "default" not found')
    refuses("config delete-profile", 2, "--profile")
    says "config delete-profile --profile a"
    refuses("config delete-profile --profile a", 1, 'profile "a" not found')
    assert.are.equal('{"name":"b"}\n', says "config list -o jsonl")
  end)

  it("refuses what is no property or no value, and changes nothing", function()
    says "config set -p address -v host:1"
    local before = read "temporal.toml"
    refuses("config set -p adress -v x", 1, 'did you mean "address"?')
    refuses("config set -p tls.disabled -v maybe", 1, "tls.disabled wants true or false, got 'maybe'")
    refuses("config set -p address", 2, "--value is required")
    refuses("config get -p grpc_meta", 1, 'unknown property "grpc_meta"')
    assert.are.equal(before, read "temporal.toml")
  end)

  it("writes what the other commands read", function()
    local server <close> = helper.start_server()
    says("config set --profile here -p address -v " .. server.address)
    assert.matches("0", says "workflow count --profile here")
    says "config set --profile here -p address -v localhost:1"
    refuses("workflow count --profile here --client-connect-timeout 1s", 1, "nothing listens there")
  end)
end)

describe("env", function()
  it("sets, shows and takes out values", function()
    says "env set --env prod --key address --value host:1"
    says "env set prod.tls-cert-path /c.pem"
    says "env set --env 'two words' -k yes -v 'a: \"b\" # c'"
    assert.are.equal([[
env:
    prod:
        address: "host:1"
        tls-cert-path: "/c.pem"
    "two words":
        "yes": "a: \"b\" # c"
]], read "temporal.yaml")
    assert.are.equal('{"name":"prod"}\n{"name":"two words"}\n', says "env list -o jsonl")
    assert.are.equal('{"property":"yes","value":"a: \\"b\\" # c"}\n', says "env get --env 'two words' -o jsonl")
    assert.matches("address +host:1", says "env get prod.address")
    says "env delete prod.address"
    refuses("env delete prod.address", 1, "'address' is not set in environment \"prod\"")
    says("env delete", "TEMPORAL_ENV=prod")
    refuses("env get prod", 1, 'environment "prod" not found')
  end)

  it("refuses a wrong command line", function()
    refuses("env set -k a", 2, "--value is required")
    refuses("env set prod.a b c", 2, "unexpected argument 'c'")
    refuses("env set -k a.b -v c", 2, "has no dot")
    refuses("env get prod --key a", 2, "one of both forms")
  end)

  it("leaves a file alone that it does not understand", function()
    local more <close> = helper.file "env:\n  a: {address: x}\nother: 1\n"
    assert.matches("address +x", says("env get --env a --env-file " .. more.name))
    refuses("env set a.b c --env-file " .. more.name, 1, "more than 'env:'")
    for text, message in pairs {
      ["env: [1]\n"] = "line 1: NAME: is wanted here",
      ["env:\n  a:\n    b: [1]\n"] = "line 3: a text is wanted here",
      ["env:\n\t- x"] = "line 2",
      ["just text"] = "env: is wanted here",
    } do
      local file <close> = helper.file(text)
      refuses("env list --env-file " .. file.name, 1, message)
    end
  end)

  it("gives values to options, behind the command line and before everything else", function()
    local server <close> = helper.start_server()
    says("env set here.address " .. server.address)
    says "env set away.address localhost:1"
    says "env set wrong.grpc-meta nothing"
    assert.matches("0", says "workflow count --env here")
    assert.matches("0", says("workflow count", "TEMPORAL_ENV=here"))
    assert.matches("0", says("workflow count --env here", "TEMPORAL_ADDRESS=localhost:1"))
    assert.matches("0", says("workflow count --env away --address " .. server.address))
    refuses("workflow count --env away --client-connect-timeout 1s", 1, "nothing listens there")
    refuses("workflow count --env none", 1, 'environment "none" not found')
    refuses("workflow count --env wrong", 2, "--grpc-meta wants KEY=VALUE, got 'nothing'")
  end)
end)

describe("headers of calls", function()
  it("come from the environment", function()
    local server <close> = helper.start_server()
    local address = " --address " .. server.address
    assert.matches("0", says("workflow count" .. address, "TEMPORAL_GRPC_META_X_TRACE=t"))
    local code, _, errors = lua("workflow count" .. address, "'TEMPORAL_GRPC_META_BAD NAME=t'")
    assert.are_not.equal(0, code)
    assert.matches("bad name", errors, 1, true)
  end)
  it("are pairs", function()
    refuses("workflow count --grpc-meta nothing", 2, "--grpc-meta wants KEY=VALUE, got 'nothing'")
    refuses("workflow count --grpc-meta =x", 2, "--grpc-meta wants KEY=VALUE, got '=x'")
  end)
end)
