-- Options of all commands that lead to a server, for commands.lua.
---@type cli.Option[]
return {
  {
    name = "address",
    kind = "string",
    env = "TEMPORAL_ADDRESS",
    help = "Temporal server to use (host:port); without it the embedded server",
  },
  {
    name = "api-key",
    kind = "string",
    env = "TEMPORAL_API_KEY",
    help = "API key sent to the server; turns TLS on",
  },
  {
    name = "config-file",
    kind = "string",
    env = "TEMPORAL_CONFIG_FILE",
    help = "TOML file of connection settings; without it temporalio/temporal.toml of the user's settings",
  },
  {
    name = "profile",
    kind = "string",
    env = "TEMPORAL_PROFILE",
    help = "Profile of that file; without it default",
  },
  { name = "disable-config-file", kind = "boolean", help = "Read no configuration file" },
  {
    name = "disable-config-env",
    kind = "boolean",
    help = "Take no connection settings from the environment",
  },
  { name = "client-authority", kind = "string", help = "Sent as :authority; without it the address" },
  {
    name = "env",
    kind = "string",
    env = "TEMPORAL_ENV",
    default = "default",
    help = "Environment of --env-file whose values stand for options that are not given",
  },
  {
    name = "env-file",
    kind = "string",
    env = "TEMPORAL_ENV_FILE",
    help = "YAML file of environments; without it .config/temporalio/temporal.yaml of the home folder",
  },
  {
    name = "grpc-meta",
    kind = "strings",
    pair = true,
    help = "Header of each call, KEY=VALUE (may be repeated) [TEMPORAL_GRPC_META_KEY]",
  },
  { name = "tls", kind = "boolean", env = "TEMPORAL_TLS", help = "Talk TLS to the server" },
  {
    name = "tls-ca-data",
    kind = "string",
    env = "TEMPORAL_TLS_SERVER_CA_CERT_DATA",
    help = "PEM text of the server's authorities, instead of --tls-ca-path",
  },
  {
    name = "tls-cert-data",
    kind = "string",
    env = "TEMPORAL_TLS_CLIENT_CERT_DATA",
    help = "PEM text of the client's certificate, instead of --tls-cert-path",
  },
  {
    name = "tls-key-data",
    kind = "string",
    env = "TEMPORAL_TLS_CLIENT_KEY_DATA",
    help = "PEM text of its key, instead of --tls-key-path",
  },
  {
    name = "tls-disable-host-verification",
    kind = "boolean",
    env = "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION",
    help = "Take any certificate of the server: for tests only",
  },
  {
    name = "tls-ca-path",
    kind = "string",
    env = "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
    help = "PEM file of the server's authorities; without it the system's; turns TLS on",
  },
  {
    name = "tls-cert-path",
    kind = "string",
    env = "TEMPORAL_TLS_CLIENT_CERT_PATH",
    help = "PEM file of the client's certificate; turns TLS on",
  },
  {
    name = "tls-key-path",
    kind = "string",
    env = "TEMPORAL_TLS_CLIENT_KEY_PATH",
    help = "PEM file of the key of the client's certificate",
  },
  {
    name = "tls-server-name",
    kind = "string",
    env = "TEMPORAL_TLS_SERVER_NAME",
    help = "Name expected in the server's certificate",
  },
}
