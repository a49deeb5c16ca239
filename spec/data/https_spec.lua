-- Codec servers and object stores behind TLS: authorities, expected names, client certificates.
local core = require "temporal.core"
local helper = require "helper"
local temporal = require "temporal"

local python = os.execute "command -v python3 >/dev/null"

--- A folder with an authority and what it has signed.
local function certificates()
  local folder = os.tmpname()
  os.remove(folder)
  local code, _, errors = helper.run(("samples/mtls/certificates.sh %s server worker"):format(folder))
  assert(code == 0, errors)
  return folder
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

--- TLS in front of a port: a process, and its port.
local function proxy(port, folder, more)
  local pipe = assert(io.popen(("echo $$; exec python3 spec/fixtures/tls_proxy.py %s %s/server.pem %s/server.key %s")
    :format(port, folder, folder, more or "")))
  return { pipe = pipe, id = assert(pipe:read "l"), port = assert(pipe:read "l") }
end

(python and describe or pending)("https", function()
  local plain, plain_port, folder, strangers, open, mutual

  setup(function()
    plain = helper.spawn "run spec/fixtures/http_server.lua"
    plain_port = assert(plain.pipe:read "l", plain:errors())
    folder, strangers = certificates(), certificates()
    open = proxy(plain_port, folder)
    mutual = proxy(plain_port, folder, folder .. "/authority.pem")
  end)

  teardown(function()
    for _, p in ipairs { open, mutual } do
      os.execute("kill -KILL " .. p.id)
      p.pipe:close()
    end
    plain:stop "KILL"
    os.execute(("rm -r %s %s"):format(folder, strangers))
  end)

  local function options(host, server, tls)
    return { endpoint = ("https://%s:%s/codec"):format(host, server.port), tls = tls }
  end

  local function connect(o)
    return temporal.connect { data_converter = temporal.data_converter {
      payload_codecs = { temporal.codec.remote(o) } } }
  end

  --- Starts a workflow with an argument that has to be encoded; returns whether, and the message.
  local function start(o)
    local client <close> = connect(o)
    local ok, err = pcall(client.start_workflow, client, "W", { task_queue = "q", rpc_timeout = "5s" }, "hello")
    return ok, ok or err.message
  end

  local function works(o)
    local ok, message = start(o)
    assert.is_true(ok, message)
    local _, body = helper.http(plain_port, "GET /seen")
    return core.json_decode(body)
  end

  local function refused(o, pattern)
    local ok, message = start(o)
    assert.is_false(ok)
    assert.is_truthy(message:find("payload codec remote: " .. o.endpoint .. "/encode: ", 1, true), message)
    assert.matches(pattern, message)
  end

  it("trusts the authorities that it is given, by file or as text, and no others", function()
    local seen = works(options("127.0.0.1", open, { server_root_ca_cert_path = folder .. "/authority.pem" }))
    assert.are.equal("/codec/encode", seen.path)
    works(options("127.0.0.1", open, { server_root_ca_cert = read(folder .. "/authority.pem") }))
    refused(options("127.0.0.1", open, { server_root_ca_cert_path = strangers .. "/authority.pem" }), "certificate")
    refused(options("127.0.0.1", open), "certificate")
    refused(options("127.0.0.1", open, {}), "certificate")
    works(options("127.0.0.2", open, { disable_host_verification = true }))
  end)

  it("looks for the name that it is told in the server's certificate", function()
    local function named(domain)
      return options("127.0.0.2", open, { server_root_ca_cert_path = folder .. "/authority.pem", domain = domain })
    end
    refused(named(), "127.0.0.2")
    local seen = works(named "localhost")
    assert.are.equal("localhost:" .. open.port, seen.headers.host)
    refused(named "elsewhere.example", "elsewhere.example")
  end)

  it("shows a certificate of its own", function()
    local function with(from, as_text)
      local tls = { server_root_ca_cert_path = folder .. "/authority.pem" }
      for option, file in pairs { client_cert = "/worker.pem", client_private_key = "/worker.key" } do
        tls[as_text and option or option .. "_path"] = as_text and read(from .. file) or from .. file
      end
      return options("127.0.0.1", mutual, tls)
    end
    works(with(folder))
    works(with(folder, true))
    refused(with(strangers), ".")
    refused(options("127.0.0.1", mutual, { server_root_ca_cert_path = folder .. "/authority.pem" }), ".")
  end)

  it("is there for the codec server of the command line", function()
    local file <close> = helper.file ""
    local authority = folder .. "/authority.pem"
    local client = temporal.connect { db_filename = file.name, data_converter = temporal.data_converter {
      payload_codecs = { temporal.codec.remote(
        options("127.0.0.1", open, { server_root_ca_cert_path = authority })) } } }
    client:start_workflow("W", { task_queue = "q", id = "coded" }, "hello")
    client:close()
    local function show(server, flags, environment)
      return helper.run(("env %s %s workflow show --workflow-id coded --output json --db-filename %s "
        .. "--codec-endpoint https://127.0.0.1:%s/codec %s"):format(
          environment or "", helper.binary, file.name, server.port, flags))
    end
    local function shown(server, flags, environment)
      local code, text, errors = show(server, flags, environment)
      assert.are.equal(0, code, errors)
      assert.is_truthy(text:find(helper.base64 '"hello"', 1, true), text)
    end
    local by_file = "--codec-tls-ca-path " .. authority
    shown(open, by_file)
    shown(open, "", "TEMPORAL_CODEC_TLS_CA_PATH=" .. authority)
    shown(open, ('--codec-tls-ca-data "$(cat %s)" --codec-tls-server-name localhost'):format(authority))
    shown(open, "--codec-tls-disable-host-verification")
    shown(mutual, ("%s --codec-tls-cert-path %s/worker.pem --codec-tls-key-path %s/worker.key"):format(
      by_file, folder, folder))
    shown(mutual, ('%s --codec-tls-cert-data "$(cat %s/worker.pem)" --codec-tls-key-data "$(cat %s/worker.key)"')
      :format(by_file, folder, folder))
    local function fails(expected, pattern, ...)
      local code, _, errors = show(...)
      assert.are.equal(expected, code, errors)
      assert.matches(pattern, errors)
    end
    fails(1, "certificate", open, "")
    fails(1, "elsewhere.example", open, by_file .. " --codec-tls-server-name elsewhere.example")
    fails(2, "client_cert and client_private_key go together", open,
      ("%s --codec-tls-cert-path %s/worker.pem"):format(by_file, folder))
    for arguments, message in pairs {
      [by_file] = "%-%-codec%-tls%-ca%-path needs %-%-codec%-endpoint",
      [by_file .. " --codec-endpoint http://127.0.0.1:1"] = "ca%-path is for a %-%-codec%-endpoint with https",
      ["--codec-tls-disable-host-verification"] = "verification needs %-%-codec%-endpoint",
    } do
      local code, _, errors = helper.run(("%s workflow list %s"):format(helper.binary, arguments))
      assert.are.equal(2, code)
      assert.matches(message, errors)
    end
  end)

  it("is there for the codec server of worker run", function()
    local server <close> = helper.start_server()
    local script <close> = helper.file [[
      local temporal = require "temporal"
      local source = "return require('temporal.workflow').define('W', function(v) return v end)"
      return temporal.worker { task_queue = "q", workflows = { { name = "w", source = source } } }
    ]]
    local flags = ("--codec-endpoint https://127.0.0.1:%s/codec --codec-tls-ca-path %s/authority.pem"):format(
      open.port, folder)
    local worker <close> = helper.spawn(("worker run --no-status --address %s %s %s"):format(
      server.address, flags, script.name))
    local client <close> = temporal.connect { address = server.address, data_converter = temporal.data_converter {
      payload_codecs = { temporal.codec.remote(
        options("127.0.0.1", open, { server_root_ca_cert_path = folder .. "/authority.pem" })) } } }
    local result = client:start_workflow("W", { task_queue = "q" }, "there and back"):result { timeout = 30 }
    assert.are.equal("there and back", result, worker:errors())
  end)

  it("is there for object stores too", function()
    local function environment(authority)
      return helper.environment([[
        local workflow = require "temporal.workflow"
        return workflow.define("W", function(v) return v end)]], {
        data_converter = temporal.data_converter { external_storage = temporal.external_storage {
          payload_size_threshold = 100,
          drivers = { temporal.storage.http { endpoint = ("https://127.0.0.1:%s/store"):format(open.port), bucket = "b",
            tls = { server_root_ca_cert = authority } } } } },
      })
    end
    local value = ("large"):rep(100)
    local env <close> = environment(read(folder .. "/authority.pem"))
    assert.are.equal(value, (env:execute_workflow("W", nil, value)))
    local stranger <close> = environment(read(strangers .. "/authority.pem"))
    local ok, err = pcall(stranger.start_workflow, stranger, "W", nil, value)
    assert.is_false(ok)
    assert.matches("127.0.0.1:" .. open.port .. "/store/b/.*certificate", err.message)
  end)

  it("says what is wrong with its options", function()
    local function wrong(tls, message)
      assert.error_matches(function() connect(options("localhost", open, tls)):close() end, message)
    end
    wrong({ ca_cert = "x" }, "codec.remote: tls: unknown option 'ca_cert'")
    wrong({ server_root_ca_certs = "x" }, "did you mean 'server_root_ca_cert'")
    wrong({ domain = "" }, "tls of the codec server: domain is empty")
    wrong({ server_root_ca_cert = "authority.pem" }, "server_root_ca_cert is no PEM text; .* server_root_ca_cert_path")
    wrong({ server_root_ca_cert_path = "/no/such.pem" }, "server_root_ca_cert_path: /no/such.pem: No such file")
    wrong({ client_cert_path = folder .. "/worker.pem" }, "client_cert and client_private_key go together")
    wrong({ client_cert_path = "a", client_cert = "b" }, "client_cert and client_cert_path are given")
    assert.error_matches(function() temporal.codec.remote { endpoint = "http://x", tls = {} } end,
      "codec.remote: tls is for an endpoint with https://, got 'http://x'")
    assert.error_matches(function() temporal.storage.http { endpoint = "http://x", bucket = "b", tls = {} } end,
      "storage.http: tls is for an endpoint with https://")
    assert.error_matches(function()
      temporal.connect { data_converter = temporal.data_converter { external_storage = temporal.external_storage {
        drivers = { temporal.storage.http { endpoint = "https://x", bucket = "b", tls = { domain = "" } } } } } }
    end, "external_storage: driver 'aws.s3driver': tls of the object store: domain is empty")
  end)
end)
