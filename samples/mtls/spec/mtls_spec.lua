local helper = require "helper"

local root = debug.getinfo(1, "S").source:match "^@(.*)/spec/[^/]*$"

describe("mtls", function()
  local folder, server, address

  local function certificates(arguments)
    local code, _, errors = helper.run(("%s/certificates.sh %s"):format(root, arguments))
    assert.are.equal(0, code, errors)
  end

  setup(function()
    folder = os.tmpname()
    os.remove(folder)
    certificates(folder)
    server = helper.start_server(("--tls-cert-path %s/server.pem --tls-key-path %s/server.key"
      .. " --tls-client-ca-path %s/authority.pem"):format(folder, folder, folder))
    address = server.address
  end)

  teardown(function()
    assert.are.equal(0, server:stop())
    os.execute("rm -r " .. folder)
  end)

  local function environment(name, of)
    return ("TEMPORAL_ADDRESS=%s TEMPORAL_TLS_SERVER_CA_CERT_PATH=%s/authority.pem "
      .. "TEMPORAL_TLS_CLIENT_CERT_PATH=%s/%s.pem TEMPORAL_TLS_CLIENT_KEY_PATH=%s/%s.key"):format(
      address, folder, of or folder, name, of or folder, name)
  end

  local function list(settings)
    return helper.run(("env %s %s workflow list --client-connect-timeout 2s -o jsonl"):format(
      settings, helper.binary))
  end

  local function start(amount)
    return helper.run(("env TEMPORAL_ADDRESS=%s MTLS_CERTIFICATES=%s %s run %s/start.lua %d"):format(
      address, folder, helper.binary, root, amount))
  end

  --- The serial number of the certificate that a new connection is shown.
  local function serial()
    local code, output = helper.run(("openssl s_client -connect %s -servername localhost -cert %s/operator.pem"
      .. " -key %s/operator.key </dev/null 2>/dev/null | openssl x509 -noout -serial"):format(address, folder, folder))
    assert.are.equal(0, code)
    return output
  end

  it("runs a transfer, goes on with a renewed certificate, and keeps strangers out", function()
    local worker <close> = helper.spawn(("worker run %s/worker.lua"):format(root),
      ("TEMPORAL_ADDRESS=%s MTLS_CERTIFICATES=%s"):format(address, folder))
    assert.matches("mtls", worker.pipe:read "l")
    local code, output, errors = start(25)
    assert.are.equal(0, code, errors)
    assert.are.equal("to +25\n", output)
    code, output, errors = list(environment "operator")
    assert.are.equal(0, code, errors)
    assert.matches('"Transfer"', output)

    -- Another certificate for the server: new connections are shown it, the worker's stays.
    local before = serial()
    certificates(folder .. " server")
    assert.are_not.equal(before, serial())
    assert.matches("certificates_read_again", server:errors())
    code, output, errors = start(7)
    assert.are.equal(0, code, errors)
    assert.are.equal("to +7\n", output)
    assert.is_nil(worker:errors():find("connection_lost", 1, true), worker:errors())

    -- A certificate of another authority, and none at all.
    local strange = folder .. "/strange"
    certificates(strange)
    local refused, _, reason = list(environment("operator", strange))
    assert.are.equal(1, refused)
    assert.matches("client_cert", reason)
    refused, _, reason = list(("TEMPORAL_ADDRESS=%s TEMPORAL_TLS_SERVER_CA_CERT_PATH=%s/authority.pem"):format(
      address, folder))
    assert.are.equal(1, refused)
    assert.matches("client_cert", reason)
    -- A server that is not the authority's.
    refused, _, reason = list(((environment "operator"):gsub("authority.pem", "strange/authority.pem")))
    assert.are.equal(1, refused)
    assert.matches("server_root_ca_cert", reason)
    assert.are.equal(0, worker:stop())
  end)
end)
