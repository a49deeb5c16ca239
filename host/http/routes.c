/* See routes.h. */
#include "http/routes.h"

/* Takes the segment up to the next slash off the front of path, which begins with one. */
static struct tl_str next_segment(struct tl_str *path)
{
    size_t n = 1;
    while (n < path->n && path->p[n] != '/') {
        n++;
    }
    struct tl_str segment = tl_str_n(path->p + 1, n - 1);
    *path = tl_str_n(path->p + n, path->n - n);
    return segment;
}

/* *literal: one bit per segment, the first one highest; set where the route has fixed text. */
static bool matches(const struct tl_http_route *route, struct tl_str path,
                    struct tl_http_match *out, uint32_t *literal)
{
    struct tl_str pattern = tl_str(route->path);
    *literal = 0;
    out->route = route;
    out->var_count = 0;
    for (unsigned i = 0; path.n && pattern.n && i < 32; i++) {
        struct tl_str want = next_segment(&pattern), have = next_segment(&path);
        if (want.n && want.p[0] == '{') {
            if (!have.n || out->var_count == TL_HTTP_VARS_MAX) {
                return false;
            }
            out->vars[out->var_count++] =
                (struct tl_http_var){tl_str_n(want.p + 1, want.n - 2), have};
        } else if (tl_str_eq(want, have)) {
            *literal |= UINT32_C(1) << (31 - i);
        } else {
            return false;
        }
    }
    return !path.n && !pattern.n;
}

tl_rc tl_http_route_find(struct tl_str verb, struct tl_str path, struct tl_http_match *out,
                         struct tl_error *err)
{
    uint32_t best = 0;
    bool other_verb = false;
    struct tl_http_match candidate;
    out->route = NULL;
    if (!path.n || path.p[0] != '/') {
        return tl_error_set(err, TL_ENOTFOUND, "Not Found");
    }
    for (size_t i = 0; i < tl_http_route_count; i++) {
        uint32_t literal;
        if (!matches(&tl_http_routes[i], path, &candidate, &literal)) {
            continue;
        }
        if (!tl_str_eqc(verb, tl_http_routes[i].verb)) {
            other_verb = true;
        } else if (!out->route || literal > best) {
            *out = candidate;
            best = literal;
        }
    }
    if (out->route) {
        return TL_OK;
    }
    return other_verb ? tl_error_set(err, TL_EUNIMPLEMENTED, "Method Not Allowed")
                      : tl_error_set(err, TL_ENOTFOUND, "Not Found");
}
