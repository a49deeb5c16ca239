/* Log lines. See log.h. The sink and level are process-wide atomics set at start. */
#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

#define VALUE_MAX_BYTES ((size_t)16 * 1024) /* of a text; the rest is left out */
#define LINE_MAX_BYTES ((size_t)4 * 1024 * 1024)

static _Atomic int least_level = TL_LOG_WARN;
static _Atomic int least_script_level = TL_LOG_WARN;
static atomic_bool as_json;
static atomic_bool over_status;
static void (*_Atomic sink_fn)(void *ud, enum tl_log_level level, struct tl_str line);
static void *_Atomic sink_ud;

static const char *const level_names[] = {"trace", "debug", "info", "warn", "error", "never"};

void tl_log_core_level(enum tl_log_level least)
{
    atomic_store(&least_level, (int)least);
}

void tl_log_script_level(enum tl_log_level least)
{
    atomic_store(&least_script_level, (int)least);
}

void tl_log_level(enum tl_log_level least)
{
    tl_log_core_level(least);
    tl_log_script_level(least);
}

bool tl_log_level_parse(struct tl_str name, enum tl_log_level *out)
{
    for (int i = 0; i <= TL_LOG_NEVER; i++) {
        if (tl_str_eqc(name, level_names[i])) {
            *out = (enum tl_log_level)i;
            return true;
        }
    }
    return false;
}

void tl_log_json(bool on)
{
    atomic_store(&as_json, on);
}

bool tl_log_is_json(void)
{
    return atomic_load(&as_json);
}

void tl_log_sink(void (*sink)(void *ud, enum tl_log_level level, struct tl_str line), void *ud)
{
    atomic_store(&sink_ud, ud);
    atomic_store(&sink_fn, sink);
}

bool tl_log_on(enum tl_log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

bool tl_log_script_on(enum tl_log_level level)
{
    return (int)level >= atomic_load_explicit(&least_script_level, memory_order_relaxed);
}

static void put_quoted(struct tl_buf *b, struct tl_str s)
{
    tl_buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            tl_buf_printf(b, "\\%c", c);
        } else if (c == '\n') {
            tl_buf_puts(b, "\\n");
        } else if (c < 0x20) {
            tl_buf_printf(b, "\\u%04x", c);
        } else {
            tl_buf_putc(b, (char)c);
        }
    }
    tl_buf_putc(b, '"');
}

static bool plain(struct tl_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= 0x20 || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return s.n > 0;
}

static void put_time(struct tl_buf *b)
{
    struct timespec ts;
    struct tm tm;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    tl_buf_printf(b, "%s.%03ldZ", text, ts.tv_nsec / 1000000);
}

static void put_field(struct tl_buf *b, const struct tl_log_field *f, bool json, bool first)
{
    struct tl_str key = tl_str(f->key), text = f->str;
    if (text.n > VALUE_MAX_BYTES) { /* not within a character */
        text.n = VALUE_MAX_BYTES;
        while (text.n && ((unsigned char)text.p[text.n] & 0xc0) == 0x80) {
            text.n--;
        }
    }
    if (json) {
        tl_buf_puts(b, first ? "" : ",");
        put_quoted(b, key);
        tl_buf_putc(b, ':');
    } else {
        tl_buf_putc(b, ' ');
        if (plain(key)) {
            tl_buf_put_str(b, key);
        } else {
            put_quoted(b, key);
        }
        tl_buf_putc(b, '=');
    }
    if (f->kind == TL_F_INT) {
        tl_buf_printf(b, "%lld", (long long)f->num);
    } else if (f->kind != TL_F_RAW && (json || !plain(text))) {
        put_quoted(b, text);
    } else {
        tl_buf_put_str(b, text);
    }
}

static void put_own(struct tl_buf *b, const struct tl_log_field *own, bool json)
{
    bool group = json && own->kind != TL_F_END;
    tl_buf_puts(b, group ? ",\"fields\":{" : "");
    for (const struct tl_log_field *f = own; f->kind != TL_F_END; f++) {
        put_field(b, f, json, f == own);
    }
    tl_buf_puts(b, group ? "}" : "");
}

void tl_log_over_status(bool on)
{
    atomic_store(&over_status, on);
}

void tl_log_write_script(enum tl_log_level level, const char *event,
                         const struct tl_log_field *fields, const struct tl_log_field *own)
{
    struct tl_buf b;
    bool json = atomic_load(&as_json);
    void (*sink)(void *, enum tl_log_level, struct tl_str) = atomic_load(&sink_fn);
    tl_buf_init(&b, LINE_MAX_BYTES);
    tl_buf_puts(&b, !sink && atomic_load(&over_status) ? "\r\033[K" : "");
    if (json) {
        tl_buf_puts(&b, "{\"time\":\"");
        put_time(&b);
        tl_buf_printf(&b, "\",\"level\":\"%s\",\"event\":\"%s\"", level_names[level], event);
    } else {
        put_time(&b);
        tl_buf_printf(&b, " %-5s %s", level_names[level], event);
    }
    for (const struct tl_log_field *f = fields; f->kind != TL_F_END; f++) {
        put_field(&b, f, json, false);
    }
    put_own(&b, own, json);
    if (json) {
        tl_buf_putc(&b, '}');
    }
    if (sink) {
        sink(atomic_load(&sink_ud), level, tl_buf_str(&b));
    } else {
        tl_buf_putc(&b, '\n');
        ssize_t ignored = write(STDERR_FILENO, b.p, b.n);
        (void)ignored;
    }
    tl_buf_deinit(&b);
}

void tl_log_write(enum tl_log_level level, const char *event, const struct tl_log_field *fields)
{
    static const struct tl_log_field none = {.kind = TL_F_END};
    tl_log_write_script(level, event, fields, &none);
}
