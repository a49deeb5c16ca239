/* See start_options.h. */
#include "cli/start_options.h"

#include "proto/payload.h"

int tl_cli_priority(struct tl_cli_session *s, TpCommon__Priority **out)
{
    const char *weight = tl_cli_text(s->cli, "fairness-weight");
    int64_t key = tl_cli_integer(s->cli, "priority-key");
    double w = 0;
    TpCommon__Priority *p = TL_PB_NEW(&s->arena, TpCommon__Priority, tp_common__priority);
    *out = NULL;
    bool number = weight && *weight >= '0' && *weight <= '9' && tl_cli_is_json(tl_str(weight));
    if (weight && (!number || !tl_json_double_value(tl_str(weight), &w))) {
        return tl_cli_fail(2, "--fairness-weight wants a number, got '%s'", weight);
    }
    if (key < 0 || key > INT32_MAX) {
        return tl_cli_fail(2, "--priority-key wants a number from 1 up, got '%lld'",
                           (long long)key);
    }
    if (p && (key || weight || tl_cli_text(s->cli, "fairness-key"))) {
        p->priority_key = (int32_t)key;
        p->fairness_key = tl_cli_field(s, "fairness-key");
        p->fairness_weight = (float)w;
        *out = p;
    }
    return 0;
}

/* One option as text for people; *out stays NULL when it was not given. */
static int people_text(struct tl_cli_session *s, const char *option, TpCommon__Payload **out)
{
    const char *text = tl_cli_text(s->cli, option);
    if (text) {
        *out = tl_payload_json_text(&s->arena, tl_str(text));
        return *out ? 0 : tl_cli_fail(2, "--%s wants UTF-8 text", option);
    }
    return 0;
}

int tl_cli_summary(struct tl_cli_session *s, TpSdk__UserMetadata **out)
{
    TpSdk__UserMetadata *m = TL_PB_NEW(&s->arena, TpSdk__UserMetadata, tp_sdk__user_metadata);
    *out = NULL;
    if (!m) {
        return tl_cli_fail(1, "the start is too large");
    }
    int code = people_text(s, "static-summary", &m->summary);
    *out = m->summary ? m : NULL;
    return code;
}

int tl_cli_user_metadata(struct tl_cli_session *s, TpSdk__UserMetadata **out)
{
    TpSdk__UserMetadata *m = TL_PB_NEW(&s->arena, TpSdk__UserMetadata, tp_sdk__user_metadata);
    *out = NULL;
    if (!m) {
        return tl_cli_fail(1, "the start is too large");
    }
    int code = people_text(s, "static-summary", &m->summary);
    code = code ? code : people_text(s, "static-details", &m->details);
    *out = m->summary || m->details ? m : NULL;
    return code;
}

int tl_cli_search_attributes(struct tl_cli_session *s, TpCommon__SearchAttributes **out)
{
    struct tl_pb_list list = {0};
    TpCommon__SearchAttributes *sa =
        TL_PB_NEW(&s->arena, TpCommon__SearchAttributes, tp_common__search_attributes);
    int code =
        tl_cli_json_entries(s, "search-attribute",
                            &tp_common__search_attributes__indexed_fields_entry__descriptor, &list);
    *out = NULL;
    if (code == 0 && list.n && sa) {
        sa->n_indexed_fields = list.n;
        sa->indexed_fields = list.items;
        *out = sa;
    }
    return code;
}

Google__Protobuf__Duration *tl_cli_duration(struct tl_cli_session *s, const char *option)
{
    return tl_cli_given(s->cli, option) || tl_cli_text(s->cli, option)
               ? tl_pb_duration_ns(&s->arena, tl_cli_duration_ns(s->cli, option))
               : NULL;
}

int tl_cli_choice(struct tl_cli_session *s, const char *option, const ProtobufCEnumDescriptor *desc)
{
    const char *text = tl_cli_text(s->cli, option);
    int value = 0;
    return text && tl_json_enum_value(desc, tl_str(text), &value) ? value : 0;
}
