/* See outcome.h. */
#include "cli/outcome.h"

static int print_json(struct tl_cli_session *s, const struct tl_cli_outcome *o)
{
    struct tl_json_write_options options = tl_print_json_options(&s->print);
    struct tl_error err;
    struct tl_jw w;
    const struct {
        const char *name, *text;
    } texts[] = {
        {o->id_name, o->id}, {"runId", o->run_id}, {"status", o->failure ? "FAILED" : "COMPLETED"}};
    tl_print_json_begin(&s->print, &w);
    tl_jw_object(&w);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        tl_jw_name(&w, tl_str(texts[i].name));
        tl_jw_string(&w, tl_str(texts[i].text));
    }
    tl_jw_name(&w, o->failure ? TL_STR_LIT("failure") : TL_STR_LIT("result"));
    tl_rc rc = o->failure ? tl_json_write_value(o->failure, &options, &w, &err)
                          : tl_print_payloads(&s->print, o->result, &w, &err);
    tl_jw_object_end(&w);
    rc = rc == TL_OK ? tl_print_json_end(&s->print, &w, &err) : rc;
    return tl_cli_printed(rc, &err);
}

static void print_text(struct tl_cli_session *s, const struct tl_cli_outcome *o)
{
    const char *text = o->failure ? tl_print_failure(&s->arena, o->failure)
                                  : tl_print_payloads_text(&s->print, &s->arena, o->result);
    const struct tl_print_row rows[] = {
        {"Status", o->failure ? "FAILED" : "COMPLETED", false},
        {o->failure ? "Failure" : "Result", text, true},
    };
    tl_print_line(&s->print, "Results:");
    tl_print_card(&s->print, rows, 2);
}

int tl_cli_print_outcome(struct tl_cli_session *s, const struct tl_cli_outcome *o)
{
    int code = 0;
    if (tl_print_is_json(&s->print)) {
        code = print_json(s, o);
    } else {
        print_text(s, o);
    }
    if (o->failure) {
        tl_print_flush(&s->print);
        return tl_cli_fail(1, "%s failed", o->kind);
    }
    return code;
}
