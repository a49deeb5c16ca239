/* The embedder's metrics (include/temporal_lua.h). Thread: as the header says. */
#include <string.h>

#include "base/mem.h"
#include "embed/embed_int.h"
#include "rpc/measured.h"
#include "worker/worker.h"

#define LABELS_MAX 32
#define TEXT_BYTES_MAX ((size_t)64 * 1024 * 1024)

static tl_rc read_labels(const tlua_attribute *given, size_t n, struct tl_label *out,
                         struct tl_error *err)
{
    if (n > LABELS_MAX) {
        return tl_error_set(err, TL_EINVAL, "at most %d labels", LABELS_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        if (!given[i].name || !tl_metric_name_ok(tl_str(given[i].name))) {
            return tl_error_set(err, TL_EINVAL, "'%s' is no name of a label",
                                given[i].name ? given[i].name : "");
        }
        out[i] = (struct tl_label){tl_str(given[i].name),
                                   tl_str_n(given[i].value.data, given[i].value.size)};
    }
    return TL_OK;
}

int tlua_metrics_new(const tlua_metrics_options *options, tlua_metrics **out, tlua_error *err)
{
    tlua_metrics_options o, none = TLUA_METRICS_OPTIONS_INIT;
    struct tl_label labels[LABELS_MAX];
    struct tl_error e = {0};
    *out = NULL;
    if (!embed_options(&o, sizeof o, options ? options : &none)) {
        return embed_error_text(err, TLUA_EINVAL, "use TLUA_METRICS_OPTIONS_INIT");
    }
    const char *prefix = o.prefix ? o.prefix : "temporal_";
    if (*prefix && (!tl_metric_name_ok(tl_str(prefix)) || strpbrk(prefix, "-."))) {
        return embed_error_text(err, TLUA_EINVAL,
                                "the prefix of metrics is made of letters, digits and '_'");
    }
    tl_rc rc = read_labels(o.labels, o.labels_count, labels, &e);
    if (rc != TL_OK) {
        return embed_error(err, rc, &e);
    }
    struct tl_metrics_options mo = {
        .prefix = prefix,
        .total_suffix = o.counters_total_suffix,
        .unit_suffix = o.unit_suffix,
        .seconds = o.durations_as_seconds,
        .labels = labels,
        .label_count = o.labels_count,
    };
    *out = TL_NEW(struct tlua_metrics);
    (*out)->registry = tl_metrics_new(&mo);
    tl_measured_register((*out)->registry); /* their names are taken from the first */
    tl_meter_register((*out)->registry);
    return TLUA_OK;
}

int tlua_metrics_write(tlua_metrics *metrics, void (*write)(void *ud, tlua_bytes text), void *ud,
                       tlua_error *err)
{
    struct tl_buf out;
    if (!metrics || !write) {
        return embed_error_text(err, TLUA_EINVAL, "metrics and write are required");
    }
    tl_buf_init(&out, TEXT_BYTES_MAX);
    bool whole = tl_metrics_write(metrics->registry, &out);
    if (whole) {
        struct tl_str text = tl_buf_str(&out);
        write(ud, (tlua_bytes){text.n ? text.p : "", text.n});
    }
    tl_buf_deinit(&out);
    return whole ? TLUA_OK : embed_error_text(err, TLUA_ELIMIT, "the metrics are too large");
}

void tlua_metrics_free(tlua_metrics *metrics)
{
    if (metrics) {
        tl_metrics_free(metrics->registry);
        tl_mem_free(metrics);
    }
}
