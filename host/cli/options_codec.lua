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
}
