local helper = require "helper"
local envconfig = require "temporal.envconfig"

local settings = [[
[profile.default]
address = "a:1"
[profile.prod]
address = "b:2"
namespace = "shop"
[profile.prod.tls]
client_cert_path = "/c.pem"
client_key_data = "key"
server_name = "n"
[profile.prod.grpc_meta]
X_Trace = "t"
[profile.key]
api_key = "k"
[profile.plain]
api_key = "k"
tls.disabled = true
]]

local function load(options)
  options.config_source, options.disable_env = options.config_source or settings, true
  return envconfig.load_client_connect_config(options)
end

describe("envconfig", function()
  it("gives the options of connect", function()
    assert.are.same({ address = "a:1" }, load {})
    assert.are.same({
      address = "b:2",
      namespace = "shop",
      metadata = { ["x-trace"] = "t" },
      tls = { client_cert_path = "/c.pem", client_private_key = "key", domain = "n" },
    }, load { profile = "prod" })
    assert.are.same({ address = "localhost:7233", api_key = "k", tls = true }, load { profile = "key" })
    assert.are.same({ address = "localhost:7233", api_key = "k", tls = false }, load { profile = "plain" })
  end)

  it("gives the settings of a profile", function()
    local file <close> = helper.file(settings)
    local p = envconfig.ClientConfigProfile.load { config_file = file.name, profile = "prod", disable_env = true }
    assert.are.equal("b:2", p.address)
    assert.are.same({
      client_cert_path = "/c.pem", client_key_data = "key", server_name = "n", disabled = false,
    }, p.tls)
    assert.are.equal("n", p:to_client_connect_config().tls.domain)
  end)

  it("gives all profiles of a file", function()
    local file <close> = helper.file(settings)
    for _, source in ipairs { { config_source = settings }, { config_file = file.name } } do
      local config = envconfig.ClientConfig.load(source)
      local names = {}
      for name, profile in pairs(config.profiles) do
        names[#names + 1] = name .. "=" .. tostring(profile.address)
      end
      table.sort(names)
      assert.are.same({ "default=a:1", "key=nil", "plain=nil", "prod=b:2" }, names)
      assert.are.equal("shop", config.profiles.prod:to_client_connect_config().namespace)
    end
    assert.are.same({}, envconfig.ClientConfig.load({ config_source = "" }).profiles)
    for message, source in pairs {
      ["exclude each other"] = { config_file = "x", config_source = "y" },
      ["/no/such.toml"] = { config_file = "/no/such.toml" },
      ["line 1"] = { config_source = "nonsense" },
      ["is not a setting"] = { config_source = "[profile.default]\nadress = 'x'", config_file_strict = true },
    } do
      local ok, e = pcall(envconfig.ClientConfig.load, source)
      assert.is_false(ok)
      assert.matches(message, e, 1, true)
    end
  end)

  it("tells what is wrong", function()
    for message, options in pairs {
      ["no profile 'none'"] = { profile = "none" },
      ["line 1"] = { config_source = "nonsense" },
      ["is not a setting"] = { config_source = "[profile.default]\nadress = 'x'", config_file_strict = true },
      ["did you mean 'profile'"] = { profil = "x" },
      ["exclude each other"] = { config_file = "x" },
    } do
      local ok, e = pcall(load, options)
      assert.is_false(ok)
      assert.matches(message, e, 1, true)
    end
    local ok, e = pcall(envconfig.load_client_connect_config, { config_file = "/no/such.toml" })
    assert.is_false(ok)
    assert.matches("/no/such.toml", e, 1, true)
  end)
end)

describe("the command line", function()
  it("takes connection settings from the file, the environment and its options, in this order", function()
    local server <close> = helper.start_server()
    local file <close> = helper.file(([[
[profile.default]
address = "%s"
[profile.default.grpc_meta]
x_trace = "t"
[profile.wrong]
address = "localhost:1"
]]):format(server.address))
    local function count(arguments, environment)
      return helper.run(("%s %s workflow count --config-file %s --client-connect-timeout 1s %s"):format(
        environment or "", helper.binary, file.name, arguments))
    end
    local function refused(arguments)
      local code, _, errors = count(arguments)
      assert.are.equal(1, code)
      return errors
    end
    local code, output, errors = count ""
    assert.are.equal(0, code, errors)
    assert.matches("0", output)
    assert.matches("nothing listens there", refused "--profile wrong")
    assert.are.equal(0, (count("--profile wrong --address " .. server.address)))
    assert.are.equal(0, (count("--profile wrong", "TEMPORAL_ADDRESS=" .. server.address)))
    assert.are.equal(1, (count("--profile wrong --disable-config-env", "TEMPORAL_ADDRESS=" .. server.address)))
    assert.are.equal(1, (count("", "TEMPORAL_PROFILE=wrong")))
    assert.matches("no profile 'none'", refused "--profile none")
    assert.are.equal(0, (count "--grpc-meta X-Trace=other --grpc-meta more=1"))
  end)
end)
