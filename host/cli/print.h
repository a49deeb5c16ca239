/* What commands write to stdout: lines, cards ("name  value" rows), tables and JSON, in the shapes of
 * Temporal's own command line. One printer serves --output text, json, jsonl and none, so that a
 * command says what there is and not how it looks.
 * Owns: its buffer; texts made for a caller live in the arena that the caller names. Thread: main. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <temporal/api/common/v1/message.pb-c.h>
#include <temporal/api/failure/v1/message.pb-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "cli/cli.h"
#include "proto/json.h"

enum tl_print_mode { TL_PRINT_TEXT, TL_PRINT_JSON, TL_PRINT_JSONL, TL_PRINT_NONE };
enum tl_print_times { TL_PRINT_RELATIVE, TL_PRINT_ISO, TL_PRINT_RAW };

struct tl_print {
    enum tl_print_mode mode;
    enum tl_print_times times;
    bool shorthand; /* payloads as plain JSON */
    bool color;     /* names and titles of text stand out */
    int64_t now_ns; /* what relative times are relative to */
    struct tl_buf out;
    bool in_list, list_empty;
};

/* A row of a card, or a member of a JSON object (its name then begins with a small letter). */
struct tl_print_row {
    const char *name;
    const char *text; /* NULL is "" */
    bool omit_empty;
};

struct tl_print_column {
    const char *name;
    int width; /* 0: as wide as its widest cell */
    bool right;
};

/* Reads --output, --time-format, --color and --no-json-shorthand-payloads. */
void tl_print_init(struct tl_print *p, struct tl_cli *cli, int64_t now_ns);
/* Writes what is left and releases the buffer. */
void tl_print_deinit(struct tl_print *p);
/* Writes what has been printed so far to stdout; for commands that print while they wait. */
void tl_print_flush(struct tl_print *p);
bool tl_print_is_json(const struct tl_print *p);

/* --- text: nothing happens in the other modes --------------------------------------------------- */

void tl_print_line(struct tl_print *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tl_print_card(struct tl_print *p, const struct tl_print_row *rows, size_t n);
/* cells: rows * columns texts, row by row. depth: levels of indentation, at least 1. */
void tl_print_table(struct tl_print *p, const struct tl_print_column *columns, size_t n_columns,
                    const char *const *cells, size_t n_rows, bool header, int depth);

/* --- JSON: nothing happens in text mode --------------------------------------------------------- */

/* One document: write it with w between begin and end. Errors: as tl_jw_finish. */
void tl_print_json_begin(struct tl_print *p, struct tl_jw *w);
tl_rc tl_print_json_end(struct tl_print *p, struct tl_jw *w, struct tl_error *err) TL_MUST_USE;
/* One message as a document. */
tl_rc tl_print_message(struct tl_print *p, const void *msg, struct tl_error *err) TL_MUST_USE;
struct tl_json_write_options tl_print_json_options(const struct tl_print *p);
/* Documents in between are the items of one array (jsonl: one line each). */
void tl_print_list_begin(struct tl_print *p);
void tl_print_list_end(struct tl_print *p);

/* --- both --------------------------------------------------------------------------------------- */

/* A card, or a JSON object of strings. */
tl_rc tl_print_fields(struct tl_print *p, const struct tl_print_row *rows, size_t n,
                      struct tl_error *err) TL_MUST_USE;

/* --- texts for cells ---------------------------------------------------------------------------- */

/* As --time-format says; "" for NULL. */
const char *tl_print_time(const struct tl_print *p, struct tl_arena *arena,
                          const Google__Protobuf__Timestamp *t);
/* "2026-11-21T04:15:26Z"; "" for NULL. */
const char *tl_print_time_iso(struct tl_arena *arena, const Google__Protobuf__Timestamp *t);
/* "72h0m0s", "1.5s", "20ms". */
const char *tl_print_duration(struct tl_arena *arena, int64_t ns);
/* The same of a message; "" for NULL and zero. */
const char *tl_print_span(struct tl_arena *arena, const Google__Protobuf__Duration *d);
/* "3d 0h 0m 0s". */
const char *tl_print_age(struct tl_arena *arena, int64_t ns);
/* "Running"; the number when the enum has no such value. */
const char *tl_print_enum(struct tl_arena *arena, const ProtobufCEnumDescriptor *desc, int value);
/* Its message, with each cause a level deeper, on lines of their own. */
const char *tl_print_failure(struct tl_arena *arena, const TpFailure__Failure *f);
/* The values of a group, "a, b": texts without their quotes. */
const char *tl_print_values(const struct tl_print *p, struct tl_arena *arena,
                            TpCommon__Payload *const *values, size_t n);
const char *tl_print_number(struct tl_arena *arena, int64_t v);
/* A message as compact JSON; "" for NULL, or when it is no JSON. */
const char *tl_print_compact(const struct tl_print *p, struct tl_arena *arena, const void *msg);
/* One payload stands for itself, other numbers for a list; "null" for NULL. */
tl_rc tl_print_payloads(const struct tl_print *p, const TpCommon__Payloads *ps, struct tl_jw *w,
                        struct tl_error *err) TL_MUST_USE;
const char *tl_print_payloads_text(const struct tl_print *p, struct tl_arena *arena,
                                   const TpCommon__Payloads *ps);
