/* See print.h. */
#include "cli/print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

#define JSON_DEPTH 200
#define INDENT "  "

/* auto: on a terminal, unless NO_COLOR is set. */
static bool wants_color(const char *when)
{
    const char *no = getenv("NO_COLOR");
    return strcmp(when, "always") == 0 ||
           (strcmp(when, "auto") == 0 && isatty(STDOUT_FILENO) && !(no && *no));
}

void tl_print_init(struct tl_print *p, struct tl_cli *cli, int64_t now_ns)
{
    static const char *const modes[] = {"text", "json", "jsonl", "none"};
    static const char *const times[] = {"relative", "iso", "raw"};
    *p = (struct tl_print){.now_ns = now_ns};
    for (int i = 0; i < 4; i++) {
        if (strcmp(tl_cli_text(cli, "output"), modes[i]) == 0) {
            p->mode = (enum tl_print_mode)i;
        }
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(tl_cli_text(cli, "time-format"), times[i]) == 0) {
            p->times = (enum tl_print_times)i;
        }
    }
    p->color = wants_color(tl_cli_text(cli, "color"));
    p->shorthand = !tl_cli_flag(cli, "no-json-shorthand-payloads");
    tl_buf_init(&p->out, (size_t)tl_limit_request_bytes * 8);
}

void tl_print_flush(struct tl_print *p)
{
    if (p->out.n) {
        fwrite(p->out.p, 1, p->out.n, stdout);
    }
    fflush(stdout);
    tl_buf_clear(&p->out);
}

void tl_print_deinit(struct tl_print *p)
{
    tl_print_flush(p);
    tl_buf_deinit(&p->out);
}

bool tl_print_is_json(const struct tl_print *p)
{
    return p->mode == TL_PRINT_JSON || p->mode == TL_PRINT_JSONL;
}

/* --- text --------------------------------------------------------------------------------------- */

void tl_print_line(struct tl_print *p, const char *fmt, ...)
{
    va_list ap;
    char *line = NULL;
    if (p->mode != TL_PRINT_TEXT) {
        return;
    }
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    line = n >= 0 ? tl_mem_alloc((size_t)n + 1) : NULL;
    if (line) {
        va_start(ap, fmt);
        vsnprintf(line, (size_t)n + 1, fmt, ap);
        va_end(ap);
        tl_buf_puts(&p->out, line);
        tl_buf_putc(&p->out, '\n');
        tl_mem_free(line);
    }
}

/* Columns that a text takes, one for each character. */
static int columns_of(const char *s)
{
    int n = 0;
    for (; *s; s++) {
        n += ((unsigned char)*s & 0xC0) != 0x80;
    }
    return n;
}

static void put_spaces(struct tl_buf *b, int n)
{
    for (; n > 0; n--) {
        tl_buf_putc(b, ' ');
    }
}

static void put_cell(struct tl_buf *b, const char *text, int width, bool right)
{
    int gap = width - columns_of(text);
    put_spaces(b, right ? gap : 0);
    tl_buf_puts(b, text);
    put_spaces(b, right ? 0 : gap);
}

/* Around a name or title, when there are colors. */
static void put_paint(struct tl_print *p, bool on)
{
    if (p->color) {
        tl_buf_puts(&p->out, on ? "\x1b[35m" : "\x1b[0m");
    }
}

static void put_title(struct tl_buf *b, const char *name, int width)
{
    int gap = width - columns_of(name);
    put_spaces(b, gap / 2);
    tl_buf_puts(b, name);
    put_spaces(b, gap - gap / 2);
}

static bool shown(const struct tl_print_row *r)
{
    return !r->omit_empty || (r->text && *r->text);
}

void tl_print_card(struct tl_print *p, const struct tl_print_row *rows, size_t n)
{
    int width = 4; /* at least that of the column's own title, as everywhere */
    for (size_t i = 0; i < n; i++) {
        int w = columns_of(rows[i].name);
        width = shown(&rows[i]) && w > width ? w : width;
    }
    for (size_t i = 0; p->mode == TL_PRINT_TEXT && i < n; i++) {
        if (shown(&rows[i])) {
            tl_buf_puts(&p->out, INDENT);
            put_paint(p, true);
            put_cell(&p->out, rows[i].name, width, false);
            put_paint(p, false);
            tl_buf_puts(&p->out, INDENT);
            tl_buf_puts(&p->out, rows[i].text ? rows[i].text : "");
            tl_buf_putc(&p->out, '\n');
        }
    }
}

static int column_width(const struct tl_print_column *columns, size_t n_columns, size_t column,
                        const char *const *cells, size_t n_rows)
{
    int width = columns_of(columns[column].name);
    if (columns[column].width > 0) {
        return columns[column].width;
    }
    for (size_t r = 0; r < n_rows; r++) {
        int w = columns_of(cells[r * n_columns + column]);
        width = w > width ? w : width;
    }
    return width;
}

void tl_print_table(struct tl_print *p, const struct tl_print_column *columns, size_t n_columns,
                    const char *const *cells, size_t n_rows, bool header, int depth)
{
    int *widths = TL_NEW_ARRAY(int, n_columns);
    for (size_t c = 0; c < n_columns; c++) {
        widths[c] = column_width(columns, n_columns, c, cells, n_rows);
    }
    for (size_t r = header ? 0 : 1; p->mode == TL_PRINT_TEXT && r <= n_rows; r++) {
        for (size_t c = 0; c < n_columns; c++) {
            for (int i = 0; i < depth; i++) {
                tl_buf_puts(&p->out, INDENT);
            }
            if (r == 0) {
                put_paint(p, true);
                put_title(&p->out, columns[c].name, widths[c]);
                put_paint(p, false);
            } else {
                put_cell(&p->out, cells[(r - 1) * n_columns + c], widths[c], columns[c].right);
            }
        }
        tl_buf_putc(&p->out, '\n');
    }
    tl_mem_free(widths);
}

/* --- JSON --------------------------------------------------------------------------------------- */

struct tl_json_write_options tl_print_json_options(const struct tl_print *p)
{
    return (struct tl_json_write_options){.pretty = p->mode == TL_PRINT_JSON,
                                          .payload_shorthand = p->shorthand};
}

void tl_print_list_begin(struct tl_print *p)
{
    p->in_list = p->list_empty = true;
    if (p->mode == TL_PRINT_JSON) {
        tl_buf_putc(&p->out, '[');
    }
}

void tl_print_list_end(struct tl_print *p)
{
    p->in_list = false;
    if (p->mode == TL_PRINT_JSON) {
        tl_buf_puts(&p->out, "\n]\n");
    }
}

void tl_print_json_begin(struct tl_print *p, struct tl_jw *w)
{
    if (p->mode == TL_PRINT_JSON && p->in_list) {
        tl_buf_puts(&p->out, p->list_empty ? "\n" : ",\n");
        p->list_empty = false;
    }
    tl_jw_init(w, &p->out, p->mode == TL_PRINT_JSON ? TL_JW_PRETTY : 0, JSON_DEPTH);
}

tl_rc tl_print_json_end(struct tl_print *p, struct tl_jw *w, struct tl_error *err)
{
    tl_rc rc = tl_jw_finish(w, err);
    if (p->mode != TL_PRINT_JSON || !p->in_list) {
        tl_buf_putc(&p->out, '\n');
    }
    return rc;
}

tl_rc tl_print_message(struct tl_print *p, const void *msg, struct tl_error *err)
{
    struct tl_jw w;
    struct tl_json_write_options options = tl_print_json_options(p);
    if (!tl_print_is_json(p)) {
        return TL_OK;
    }
    tl_print_json_begin(p, &w);
    tl_rc rc = tl_json_write_value(msg, &options, &w, err);
    return rc == TL_OK ? tl_print_json_end(p, &w, err) : rc;
}

tl_rc tl_print_fields(struct tl_print *p, const struct tl_print_row *rows, size_t n,
                      struct tl_error *err)
{
    struct tl_jw w;
    if (!tl_print_is_json(p)) {
        tl_print_card(p, rows, n);
        return TL_OK;
    }
    tl_print_json_begin(p, &w);
    tl_jw_object(&w);
    for (size_t i = 0; i < n; i++) {
        char name[64];
        int len = snprintf(name, sizeof name, "%c%s", rows[i].name[0] | 0x20, rows[i].name + 1);
        if (shown(&rows[i])) {
            tl_jw_name(&w, tl_str_n(name, (size_t)len));
            tl_jw_string(&w, tl_str(rows[i].text ? rows[i].text : ""));
        }
    }
    tl_jw_object_end(&w);
    return tl_print_json_end(p, &w, err);
}

tl_rc tl_print_payloads(const struct tl_print *p, const TpCommon__Payloads *ps, struct tl_jw *w,
                        struct tl_error *err)
{
    struct tl_json_write_options options = tl_print_json_options(p);
    if (!ps) {
        tl_jw_null(w);
        return TL_OK;
    }
    return ps->n_payloads == 1 ? tl_json_write_value(ps->payloads[0], &options, w, err)
                               : tl_json_write_value(ps, &options, w, err);
}
