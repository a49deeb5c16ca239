/* Structured log: one line per event, `module.past_participle` plus key=value fields; never payload
 * bytes. The sink is process-wide, set once at start (stderr text by default, JSON on demand).
 * Thread: any; a line is written with one write. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum tl_log_level {
    TL_LOG_TRACE,
    TL_LOG_DEBUG,
    TL_LOG_INFO,
    TL_LOG_WARN,
    TL_LOG_ERROR,
    TL_LOG_NEVER
};

/* RAW: a number or a boolean as text. */
enum tl_log_kind { TL_F_END, TL_F_STR, TL_F_INT, TL_F_RAW };

struct tl_log_field {
    enum tl_log_kind kind;
    const char *key;
    struct tl_str str;
    int64_t num;
};

#define TL_S(key, s) ((struct tl_log_field){TL_F_STR, (key), (s), 0})
#define TL_C(key, c) ((struct tl_log_field){TL_F_STR, (key), tl_str(c), 0})
#define TL_I(key, i) ((struct tl_log_field){TL_F_INT, (key), {0, 0}, (int64_t)(i)})

/* The least level that is written: of all lines, of all but those that scripts write, of those alone. */
void tl_log_level(enum tl_log_level least);
void tl_log_core_level(enum tl_log_level least);
void tl_log_script_level(enum tl_log_level least);
bool tl_log_level_parse(struct tl_str name, enum tl_log_level *out);
void tl_log_json(bool on);
/* Whether a line that is renewed stands on the terminal of the log: it is erased before a line is written. */
void tl_log_over_status(bool on);
bool tl_log_is_json(void);
/* Replaces stderr; used by tests and the Lua host. NULL restores stderr. */
void tl_log_sink(void (*sink)(void *ud, enum tl_log_level level, struct tl_str line), void *ud);
bool tl_log_on(enum tl_log_level level);
bool tl_log_script_on(enum tl_log_level level);
void tl_log_write(enum tl_log_level level, const char *event, const struct tl_log_field *fields);
/* A line of a script: `own` are the script's fields, whose names may be any text. In JSON they are an
 * object of their own, "fields". */
void tl_log_write_script(enum tl_log_level level, const char *event,
                         const struct tl_log_field *fields, const struct tl_log_field *own);

#define TL_LOG(level, event, ...)                                                                  \
    (tl_log_on(level) ? tl_log_write((level), (event),                                             \
                                     (const struct tl_log_field[]){                                \
                                         __VA_ARGS__ __VA_OPT__(, ){TL_F_END, 0, {0, 0}, 0}})      \
                      : (void)0)
