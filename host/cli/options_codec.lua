-- Options that name a codec server, for commands.lua.
---@type cli.Option[]
return {
  {
    name = "codec-endpoint",
    kind = "string",
    env = "TEMPORAL_CODEC_ENDPOINT",
    help = "Codec server that payloads are encoded and decoded by; {namespace} in it is replaced",
  },
  {
    name = "codec-auth",
    kind = "string",
    env = "TEMPORAL_CODEC_AUTH",
    help = "Authorization header for the codec server",
  },
  {
    name = "codec-header",
    kind = "strings",
    pair = true,
    help = "Header for the codec server, KEY=VALUE (may be repeated)",
  },
  {
    name = "codec-tls-ca-path",
    kind = "string",
    env = "TEMPORAL_CODEC_TLS_CA_PATH",
    help = "PEM file of the codec server's authorities; without it the system's",
  },
  {
    name = "codec-tls-ca-data",
    kind = "string",
    env = "TEMPORAL_CODEC_TLS_CA_DATA",
    help = "PEM text of them, instead of --codec-tls-ca-path",
  },
  {
    name = "codec-tls-cert-path",
    kind = "string",
    env = "TEMPORAL_CODEC_TLS_CERT_PATH",
    help = "PEM file of the client's certificate for the codec server",
  },
  {
    name = "codec-tls-cert-data",
    kind = "string",
    env = "TEMPORAL_CODEC_TLS_CERT_DATA",
    help = "PEM text of it, instead of --codec-tls-cert-path",
  },
  {
    name = "codec-tls-key-path",
    kind = "string",
    env = "TEMPORAL_CODEC_TLS_KEY_PATH",
    help = "PEM file of the key of that certificate",
  },
  {
    name = "codec-tls-key-data",
    kind = "string",
    env = "TEMPORAL_CODEC_TLS_KEY_DATA",
    help = "PEM text of it, instead of --codec-tls-key-path",
  },
  {
    name = "codec-tls-server-name",
    kind = "string",
    env = "TEMPORAL_CODEC_TLS_SERVER_NAME",
    help = "Name expected in the codec server's certificate",
  },
  {
    name = "codec-tls-disable-host-verification",
    kind = "boolean",
    help = "Take any certificate of the codec server: for tests only",
  },
}
