-- How the programs of this sample reach the server: with a certificate of their own, and trusting one authority only.
local folder = os.getenv "MTLS_CERTIFICATES" or "certificates"

--- Options of temporal.connect for the program whose certificate is NAME.pem.
return function(name)
  return {
    address = os.getenv "TEMPORAL_ADDRESS",
    tls = {
      server_root_ca_cert_path = folder .. "/authority.pem",
      client_cert_path = ("%s/%s.pem"):format(folder, name),
      client_private_key_path = ("%s/%s.key"):format(folder, name),
    },
  }
end
