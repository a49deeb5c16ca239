/* A registry as Prometheus text. A writer sees each number whole, but not all numbers of one moment. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metrics_int.h"

static void put_escaped(struct tl_buf *out, struct tl_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\n') {
            tl_buf_puts(out, "\\n");
            continue;
        }
        if (value.p[i] == '\\' || value.p[i] == '"') {
            tl_buf_putc(out, '\\');
        }
        tl_buf_putc(out, value.p[i]);
    }
}

void tl_metrics_put_label(struct tl_buf *out, bool first, struct tl_str name, struct tl_str value)
{
    tl_buf_puts(out, first ? "" : ",");
    for (size_t i = 0; i < name.n; i++) {
        tl_buf_putc(out, name.p[i] == '-' || name.p[i] == '.' ? '_' : name.p[i]);
    }
    tl_buf_puts(out, "=\"");
    put_escaped(out, value);
    tl_buf_putc(out, '"');
}

/* A value in the unit of the output; the C library's decimal point may be another one. */
static void put_value(struct tl_buf *out, int64_t unit, int64_t value)
{
    tl_buf_printf(out, "%s%lld", value < 0 ? "-" : "",
                  (long long)((value < 0 ? -value : value) / unit));
    int64_t rest = (value < 0 ? -value : value) % unit;
    if (rest) {
        tl_buf_putc(out, '.');
        for (unit /= 10; rest; rest %= unit, unit /= 10) {
            tl_buf_putc(out, (char)('0' + rest / unit));
            if (unit == 1) {
                break;
            }
        }
    }
}

/* The shortest text that is read back as the same number. */
static void put_real(struct tl_buf *out, double value)
{
    char text[40];
    if (isnan(value) || isinf(value)) {
        tl_buf_puts(out, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    for (char *c = text; *c; c++) {
        tl_buf_putc(out, strchr("0123456789+-e", *c) ? *c : '.');
    }
}

static void put_sum(struct tl_buf *out, const struct tl_series *s)
{
    int64_t value = atomic_load_explicit(&s->value, memory_order_relaxed);
    if (s->metric->def->real) {
        double real;
        memcpy(&real, &value, sizeof real);
        put_real(out, real);
    } else {
        put_value(out, s->metric->unit, value);
    }
}

/* name_suffix{labels} and a space. */
static void put_name(struct tl_buf *out, const struct tl_series *s, const char *suffix)
{
    const char *common = s->metric->registry->labels;
    tl_buf_printf(out, "%s%s", s->metric->name, suffix);
    if (*s->labels || *common) {
        tl_buf_printf(out, "{%s%s%s}", s->labels, *s->labels && *common ? "," : "", common);
    }
    tl_buf_putc(out, ' ');
}

static void put_bucket(struct tl_buf *out, const struct tl_series *s, size_t i, uint64_t sum)
{
    const struct tl_metric *metric = s->metric;
    const char *common = metric->registry->labels;
    tl_buf_printf(out, "%s_bucket{%s%s%s%sle=\"", metric->name, s->labels, *s->labels ? "," : "",
                  common, *common ? "," : "");
    if (i == metric->bound_count) {
        tl_buf_puts(out, "+Inf");
    } else if (metric->def->real) {
        put_real(out, metric->real_bounds[i]);
    } else {
        put_value(out, metric->unit, metric->bounds[i]);
    }
    tl_buf_printf(out, "\"} %llu\n", (unsigned long long)sum);
}

static void put_histogram(struct tl_buf *out, const struct tl_series *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= s->metric->bound_count; i++) {
        sum += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
        put_bucket(out, s, i, sum);
    }
    put_name(out, s, "_sum");
    put_sum(out, s);
    tl_buf_putc(out, '\n');
    put_name(out, s, "_count");
    tl_buf_printf(out, "%llu\n", (unsigned long long)sum);
}

/* One line: a backslash and a line's end are written as two characters. */
static void put_help(struct tl_buf *out, const struct tl_metric *metric)
{
    const char *help = metric->def->help && *metric->def->help ? metric->def->help : metric->name;
    tl_buf_printf(out, "# HELP %s ", metric->name);
    for (const char *c = help; *c; c++) {
        if (*c == '\n' || *c == '\\') {
            tl_buf_puts(out, *c == '\n' ? "\\n" : "\\\\");
        } else {
            tl_buf_putc(out, *c);
        }
    }
    tl_buf_putc(out, '\n');
}

static void put_metric(struct tl_buf *out, const struct tl_metric *metric)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    put_help(out, metric);
    tl_buf_printf(out, "# TYPE %s %s\n", metric->name, kinds[metric->def->kind]);
    for (const struct tl_list *it = metric->series.next; it != &metric->series; it = it->next) {
        const struct tl_series *s = TL_CONTAINER((uintptr_t)it, struct tl_series, link);
        if (metric->def->kind == TL_METRIC_HISTOGRAM) {
            put_histogram(out, s);
        } else {
            put_name(out, s, "");
            put_sum(out, s);
            tl_buf_putc(out, '\n');
        }
    }
}

bool tl_metrics_write(struct tl_metrics *m, struct tl_buf *out)
{
    pthread_mutex_lock(&m->sources_mutex);
    TL_LIST_EACH (it, &m->sources) {
        struct tl_metrics_source *s = TL_CONTAINER(it, struct tl_metrics_source, link);
        s->collect(s);
    }
    pthread_mutex_unlock(&m->sources_mutex);
    pthread_mutex_lock(&m->mutex);
    TL_LIST_EACH (it, &m->metrics) {
        const struct tl_metric *metric = TL_CONTAINER(it, struct tl_metric, link);
        if (metric->series_count) {
            put_metric(out, metric);
        }
    }
    pthread_mutex_unlock(&m->mutex);
    return !tl_buf_failed(out);
}
