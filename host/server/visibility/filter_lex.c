/* Tokens of the filter language. See filter_int.h. */
#include <ctype.h>
#include <strings.h>

#include "server/visibility/filter_int.h"

tl_rc tl_filter_fail(struct tl_filter_parser *p, const char *expected)
{
    if (p->token == TL_T_END) {
        return tl_error_set(p->err, TL_EINVAL, "invalid query: %s expected at the end", expected);
    }
    size_t n = p->at - p->start < 40 ? p->at - p->start : 40;
    return tl_error_set(p->err, TL_EINVAL, "invalid query at position %zu, \"%.*s\": %s expected",
                        p->start + 1, (int)n, p->in.p + p->start, expected);
}

static bool word_start(char c)
{
    return isalpha((unsigned char)c) || c == '_';
}

static bool word_part(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

static void read_text(struct tl_filter_parser *p, char quote)
{
    char *out = tl_arena_alloc(p->arena, p->in.n - p->at + 1);
    size_t n = 0;
    p->token = TL_T_BAD;
    while (out && p->at < p->in.n) {
        char c = p->in.p[p->at++];
        bool twice = p->at < p->in.n && p->in.p[p->at] == quote;
        if (c == quote && !twice) {
            p->token = TL_T_TEXT;
            p->word = tl_str_n(out, n);
            return;
        }
        if (c == quote || (c == '\\' && p->at < p->in.n)) {
            c = p->in.p[p->at++];
        }
        out[n++] = c;
    }
}

void tl_filter_next(struct tl_filter_parser *p)
{
    while (p->at < p->in.n && isspace((unsigned char)p->in.p[p->at])) {
        p->at++;
    }
    p->start = p->at;
    p->word = (struct tl_str){0};
    p->quoted = false;
    if (p->at == p->in.n) {
        p->token = TL_T_END;
        return;
    }
    char c = p->in.p[p->at++];
    if (c == '\'' || c == '"') {
        read_text(p, c);
        p->quoted = c == '"';
        return;
    }
    if (c == '`') { /* quoted names */
        read_text(p, c);
        p->token = p->token == TL_T_TEXT ? TL_T_WORD : TL_T_BAD;
        return;
    }
    if (word_start(c) || isdigit((unsigned char)c) ||
        ((c == '-' || c == '+') && p->at < p->in.n && isdigit((unsigned char)p->in.p[p->at]))) {
        while (p->at < p->in.n && word_part(p->in.p[p->at])) {
            p->at++;
        }
        p->token = word_start(c) ? TL_T_WORD : TL_T_NUMBER;
    } else if (strchr("(),=<>!", c)) {
        if (strchr("<>!", c) && p->at < p->in.n &&
            (p->in.p[p->at] == '=' || (c == '<' && p->in.p[p->at] == '>'))) {
            p->at++;
        }
        p->token = TL_T_SIGN;
    } else {
        p->token = TL_T_BAD;
    }
    p->word = tl_str_n(p->in.p + p->start, p->at - p->start);
}

bool tl_filter_is_word(const struct tl_filter_parser *p, const char *keyword)
{
    return p->token == TL_T_WORD && p->word.n == strlen(keyword) &&
           strncasecmp(p->word.p, keyword, p->word.n) == 0;
}

static bool is_sign(const struct tl_filter_parser *p, const char *sign)
{
    return p->token == TL_T_SIGN && tl_str_eqc(p->word, sign);
}

bool tl_filter_accept_word(struct tl_filter_parser *p, const char *keyword)
{
    bool yes = tl_filter_is_word(p, keyword);
    if (yes) {
        tl_filter_next(p);
    }
    return yes;
}

bool tl_filter_accept_sign(struct tl_filter_parser *p, const char *sign)
{
    bool yes = is_sign(p, sign);
    if (yes) {
        tl_filter_next(p);
    }
    return yes;
}
