-- What every program of this sample connects with: payloads are compressed, then encrypted, and messages of
-- errors travel as payloads too. The server stores nothing that it could read.
local temporal = require "temporal"

-- A real program takes its keys from a vault. To change keys, add the new one everywhere first, then make it
-- active; keep the old ones for as long as histories that name them.
local keys = {
  ["2026-06"] = "June: thirty-two bytes of secret",
  ["2026-11"] = "November: 32 bytes of the secret",
}

return temporal.data_converter {
  payload_codecs = {
    temporal.codec.aes_gcm { keys = keys, active = os.getenv "SAMPLE_KEY" or "2026-11" },
    temporal.codec.zlib {},
  },
  failure_converter = { encode_common_attributes = true },
}
