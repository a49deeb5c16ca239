/* Metrics of native activities and operations: what tlua_host_api.record_metric does. Thread: any. */
#include <math.h>
#include <string.h>

#include "base/metrics.h"
#include "client/client.h"
#include "worker/native.h"

#define DURATION_S_MAX 3153600000.0 /* 100 years */

static const struct tl_metric_def kinds[] = {
    [TLUA_METRIC_COUNTER] = {.kind = TL_METRIC_COUNTER},
    [TLUA_METRIC_GAUGE] = {.kind = TL_METRIC_GAUGE, .real = true},
    [TLUA_METRIC_HISTOGRAM] = {.kind = TL_METRIC_HISTOGRAM, .real = true},
    [TLUA_METRIC_DURATION] = {.kind = TL_METRIC_HISTOGRAM, .duration = true},
};

static bool value_ok(int kind, double value)
{
    switch (kind) {
    case TLUA_METRIC_COUNTER:
        return value >= 0 && value <= 9007199254740992.0 && floor(value) == value;
    case TLUA_METRIC_GAUGE:
        return isfinite(value);
    case TLUA_METRIC_HISTOGRAM:
        return value >= 0 && isfinite(value);
    case TLUA_METRIC_DURATION:
        return value >= 0 && value <= DURATION_S_MAX;
    default:
        return false;
    }
}

static void store(int kind, struct tl_series *s, double value)
{
    switch (kind) {
    case TLUA_METRIC_COUNTER:
        tl_series_add(s, (int64_t)value);
        break;
    case TLUA_METRIC_GAUGE:
        tl_series_set_real(s, value);
        break;
    case TLUA_METRIC_HISTOGRAM:
        tl_series_observe_real(s, value);
        break;
    default:
        tl_series_observe(s, (int64_t)(value * 1e9));
        break;
    }
}

int tl_native_record(const struct tl_client *client, const struct tl_label *own, size_t own_count,
                     const tlua_metric *metric, double value, const tlua_attribute *attributes,
                     size_t count)
{
    struct tl_label labels[TL_METRIC_CUSTOM_LABELS_MAX];
    struct tl_metric *found;
    memcpy(labels, own, own_count * sizeof *own);
    if (!metric || metric->size < sizeof *metric || !metric->name ||
        !value_ok(metric->kind, value) || count > TL_METRIC_CUSTOM_LABELS_MAX - own_count) {
        return TLUA_EINVAL;
    }
    for (size_t i = 0; i < count; i++) {
        struct tl_str name = tl_str(attributes[i].name);
        if (!tl_metric_name_ok(name) || tl_str_eqc(name, "le")) {
            return TLUA_EINVAL;
        }
        labels[own_count + i] =
            (struct tl_label){name, tl_str_n(attributes[i].value.data, attributes[i].value.size)};
    }
    struct tl_metric_def def = kinds[metric->kind];
    def.name = metric->name;
    def.help = metric->description ? metric->description : "";
    def.unit_name = metric->unit ? metric->unit : "";
    tl_rc rc = tl_metric_custom(&found, tl_client_metrics(client), &def, NULL);
    store(metric->kind, tl_metric_labelled(found, labels, own_count + count), value);
    return rc;
}
