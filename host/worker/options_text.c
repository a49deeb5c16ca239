/* Options given as text: by flags, and by programs that embed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/near.h"
#include "worker/worker.h"

#define NEAR_MAX 2
#define NUMBER_BYTES_MAX 40
#define POLLS_MAX_DEFAULT 100
#define POLLS_FIRST_DEFAULT 5

/* The whole text as a number; base 10. What is none leaves *out as it was. */
static bool read_integer(struct tl_str text, int64_t *out)
{
    char copy[NUMBER_BYTES_MAX + 1], *end;
    if (text.n == 0 || text.n > NUMBER_BYTES_MAX || !strchr("-0123456789", text.p[0])) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    errno = 0;
    int64_t value = strtoll(copy, &end, 10);
    bool ok = errno == 0 && *end == 0 && end > copy;
    *out = ok ? value : *out;
    return ok;
}

static bool read_real(struct tl_str text, double *out)
{
    char copy[NUMBER_BYTES_MAX + 1], *end;
    if (text.n == 0 || text.n > NUMBER_BYTES_MAX || !strchr("-.0123456789", text.p[0])) {
        return false;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    double value = strtod(copy, &end);
    bool ok = *end == 0 && end > copy;
    *out = ok ? value : *out;
    return ok;
}

/* Takes what stands before the mark off the front; all of it when there is none. */
static struct tl_str take_part(struct tl_str *rest, char mark)
{
    const char *at = rest->n ? memchr(rest->p, mark, rest->n) : NULL;
    size_t n = at ? (size_t)(at - rest->p) : rest->n;
    struct tl_str part = tl_str_n(rest->p, n);
    *rest = at ? tl_str_n(at + 1, rest->n - n - 1) : (struct tl_str){0};
    return part;
}

bool tl_poller_behavior_parse(struct tl_str text, struct tl_poller_behavior *out)
{
    struct tl_poller_behavior b = {.minimum = 1};
    struct tl_str rest = text;
    if (read_integer(text, &b.maximum)) {
        b.initial = b.maximum;
        *out = b;
        return true;
    }
    if (!tl_str_eqc(take_part(&rest, ':'), "autoscaling")) {
        return false;
    }
    b.autoscaling = true;
    b.maximum = POLLS_MAX_DEFAULT;
    if (rest.p) {
        struct tl_str range = take_part(&rest, ':'), least = take_part(&range, '-');
        if (!read_integer(least, &b.minimum) || !read_integer(range, &b.maximum)) {
            return false;
        }
    }
    int64_t first = b.maximum < POLLS_FIRST_DEFAULT ? b.maximum : POLLS_FIRST_DEFAULT;
    b.initial = first > b.minimum ? first : b.minimum;
    if (rest.p && !read_integer(rest, &b.initial)) {
        return false;
    }
    *out = b;
    return true;
}

static tl_rc no_such_option(struct tl_str name, struct tl_error *err)
{
    const char *best = NULL;
    size_t least = NEAR_MAX + 1;
    for (const struct tl_option_row *r = tl_worker_option_rows(); r->name; r++) {
        size_t d = tl_edit_distance(name, tl_str(r->name), true);
        if (d < least) {
            least = d;
            best = r->name;
        }
    }
    int shown = (int)(name.n < 100 ? name.n : 100);
    return best ? tl_error_set(err, TL_EINVAL, "unknown option '%.*s', did you mean '%s'?", shown,
                               name.p, best)
                : tl_error_set(err, TL_EINVAL, "unknown option '%.*s'", shown, name.p);
}

static tl_rc not_of_kind(const struct tl_option_row *r, struct tl_str text, const char *want,
                         struct tl_error *err)
{
    return tl_error_set(err, TL_EINVAL, "%s wants %s, got '%.*s'", r->name, want,
                        (int)(text.n < 100 ? text.n : 100), text.p ? text.p : "");
}

static tl_rc set_duration(int64_t *ms, const struct tl_option_row *r, struct tl_str text,
                          struct tl_error *err)
{
    int64_t ns;
    tl_rc rc = tl_duration_parse(text, &ns, err);
    if (rc == TL_OK) {
        *ms = (ns + TL_NS_PER_MS - 1) / TL_NS_PER_MS;
        return TL_OK;
    }
    return tl_error_wrap(err, rc, "%s", r->name);
}

static tl_rc set_value(void *at, const struct tl_option_row *r, struct tl_str text,
                       struct tl_arena *texts, struct tl_error *err)
{
    switch (r->kind) {
    case TL_OPT_INT:
        return read_integer(text, at) ? TL_OK : not_of_kind(r, text, "an integer", err);
    case TL_OPT_REAL:
        return read_real(text, at) ? TL_OK : not_of_kind(r, text, "a number", err);
    case TL_OPT_DURATION:
        return set_duration(at, r, text, err);
    case TL_OPT_BOOL:
        if (!tl_str_eqc(text, "true") && !tl_str_eqc(text, "false")) {
            return not_of_kind(r, text, "true or false", err);
        }
        *(bool *)at = tl_str_eqc(text, "true");
        return TL_OK;
    case TL_OPT_TEXT: {
        struct tl_str copy = tl_arena_str(texts, text);
        if (text.n && !copy.p) {
            return tl_error_set(err, TL_ELIMIT, "%s does not fit the memory limit", r->name);
        }
        *(struct tl_str *)at = copy;
        return TL_OK;
    }
    case TL_OPT_POLLER:
        return tl_poller_behavior_parse(text, at)
                   ? TL_OK
                   : not_of_kind(r, text, "a number of polls or autoscaling[:MIN-MAX[:INITIAL]]",
                                 err);
    case TL_OPT_NONE:
    default:
        return tl_error_set(err, TL_EINVAL, "option '%s' does not exist here: %s", r->name,
                            r->text);
    }
}

tl_rc tl_worker_option_set(struct tl_worker_options *o, struct tl_str name, struct tl_str text,
                           struct tl_arena *texts, struct tl_error *err)
{
    for (const struct tl_option_row *r = tl_worker_option_rows(); r->name; r++) {
        if (tl_str_eqc(name, r->name)) {
            return set_value((char *)o + r->offset, r, text, texts, err);
        }
    }
    return no_such_option(name, err);
}
