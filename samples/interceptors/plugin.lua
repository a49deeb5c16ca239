-- What the samples' clients and workers have in common, as one plugin.
local otel = require "temporal.contrib.opentelemetry"
local temporal = require "temporal"

return function(options)
  return temporal.simple_plugin {
    name = "shop",
    interceptors = {
      otel.interceptor { file = options.spans, service_name = "shop" },
      { module = "interceptors.tenancy", config = { tenant = options.tenant, most = options.most or 1000 } },
    },
  }
end
