/* Search attributes of a namespace: what exists, registering and removing. They are part of the
 * namespace's stored description. Thread: engine. */
#include <temporal/api/operatorservice/v1/request_response.pb-c.h>

#include "server/api/api.h"

bool tl_api_check_attributes(struct tl_call *c, const TpCommon__SearchAttributes *sa)
{
    struct tl_error err;
    tl_rc rc = tl_namespace_check_attributes(c->s, c->ns->number, sa, sa, c->arena, &err);
    if (rc != TL_OK) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "%s", err.message);
    }
    return rc == TL_OK;
}

/* Stores a changed description. False after an answer. */
static bool store(struct tl_call *c, const TpWs__DescribeNamespaceResponse *d)
{
    if (!tl_namespace_put(c->s, d)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT),
                       "the description of the namespace is too large");
        return false;
    }
    return true;
}

void tl_api_add_search_attributes(struct tl_call *c)
{
    const TpOs__AddSearchAttributesRequest *req = c->req;
    TpOs__AddSearchAttributesResponse r = TP_OS__ADD_SEARCH_ATTRIBUTES_RESPONSE__INIT;
    TpWs__DescribeNamespaceResponse *d = tl_api_namespace(c, c->ns);
    struct tl_error err;
    if (!d) {
        return;
    }
    if (!req->n_search_attributes) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "SearchAttributes are not set on request.");
        return;
    }
    for (size_t i = 0; i < req->n_search_attributes; i++) {
        if (tl_attrs_add(d->config, tl_str(req->search_attributes[i]->key),
                         (int)req->search_attributes[i]->value, c->arena, &err) != TL_OK) {
            tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
            return;
        }
    }
    if (store(c, d)) {
        tl_call_reply(c, c->ns->seq, &r);
    }
}

void tl_api_remove_search_attributes(struct tl_call *c)
{
    const TpOs__RemoveSearchAttributesRequest *req = c->req;
    TpOs__RemoveSearchAttributesResponse r = TP_OS__REMOVE_SEARCH_ATTRIBUTES_RESPONSE__INIT;
    TpWs__DescribeNamespaceResponse *d = tl_api_namespace(c, c->ns);
    struct tl_error err;
    if (!d) {
        return;
    }
    if (!req->n_search_attributes) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_EINVAL), "SearchAttributes are not set on request.");
        return;
    }
    for (size_t i = 0; i < req->n_search_attributes; i++) {
        if (tl_attrs_remove(d->config, tl_str(req->search_attributes[i]), &err) != TL_OK) {
            tl_call_errorf(c, tl_rc_grpc_status(err.code), "%s", err.message);
            return;
        }
    }
    if (store(c, d)) {
        tl_call_reply(c, c->ns->seq, &r);
    }
}

/* The three maps of answers have entries of one shape: name and type. */
typedef TpOs__ListSearchAttributesResponse__SystemAttributesEntry entry;
_Static_assert(sizeof(entry) == sizeof(TpOs__ListSearchAttributesResponse__CustomAttributesEntry) &&
                   sizeof(entry) == sizeof(TpWs__GetSearchAttributesResponse__KeysEntry),
               "entries of name and type");

static bool push(struct tl_call *c, struct tl_pb_list *list,
                 const ProtobufCMessageDescriptor *descriptor, const struct tl_attr *a)
{
    for (size_t i = 0; i < list->n; i++) {
        if (tl_str_eqc(a->name, ((entry **)list->items)[i]->key)) {
            return true;
        }
    }
    entry *e = tl_pb_new(c->arena, descriptor);
    if (!e || !(e->key = tl_pb_cstr(c->arena, a->name)) || !tl_pb_push(c->arena, list, e)) {
        return false;
    }
    e->value = (TpEnums__IndexedValueType)a->type;
    return true;
}

static bool push_custom(struct tl_call *c, struct tl_pb_list *list,
                        const ProtobufCMessageDescriptor *descriptor, const struct tl_namespace *ns)
{
    bool ok = true;
    for (size_t i = 0; ok && i < ns->attrs.count; i++) {
        ok = push(c, list, descriptor, &ns->attrs.items[i]);
    }
    return ok;
}

/* System and predefined attributes. */
static bool push_system(struct tl_call *c, struct tl_pb_list *list,
                        const ProtobufCMessageDescriptor *descriptor)
{
    bool ok = true;
    struct tl_attr a;
    for (size_t i = 0; ok && (a = tl_attr_system(i)).name.p; i++) {
        ok = push(c, list, descriptor, &a);
    }
    for (size_t i = 0; ok && (a = tl_attr_predefined(i)).name.p; i++) {
        ok = push(c, list, descriptor, &a);
    }
    return ok;
}

void tl_api_list_search_attributes(struct tl_call *c)
{
    TpOs__ListSearchAttributesResponse r = TP_OS__LIST_SEARCH_ATTRIBUTES_RESPONSE__INIT;
    struct tl_pb_list custom = {0}, system = {0};
    if (!push_custom(c, &custom,
                     &tp_os__list_search_attributes_response__custom_attributes_entry__descriptor,
                     c->ns) ||
        !push_system(
            c, &system,
            &tp_os__list_search_attributes_response__system_attributes_entry__descriptor)) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "too many search attributes to list");
        return;
    }
    r.n_custom_attributes = custom.n;
    r.custom_attributes = custom.items;
    r.n_system_attributes = system.n;
    r.system_attributes = system.items;
    tl_call_reply(c, c->ns->seq, &r);
}

/* The request names no namespace: the answer has the attributes of all of them. */
void tl_api_get_search_attributes(struct tl_call *c)
{
    TpWs__GetSearchAttributesResponse r = TP_WS__GET_SEARCH_ATTRIBUTES_RESPONSE__INIT;
    const ProtobufCMessageDescriptor *descriptor =
        &tp_ws__get_search_attributes_response__keys_entry__descriptor;
    struct tl_pb_list list = {0};
    uint64_t seq = 0;
    bool ok = push_system(c, &list, descriptor);
    TL_MAP_EACH (e, &c->s->namespaces) {
        const struct tl_namespace *ns = e->value;
        ok = ok && (ns->deleted || push_custom(c, &list, descriptor, ns));
        seq = ns->seq > seq ? ns->seq : seq;
    }
    if (!ok) {
        tl_call_errorf(c, tl_rc_grpc_status(TL_ELIMIT), "too many search attributes to list");
        return;
    }
    r.n_keys = list.n;
    r.keys = list.items;
    tl_call_reply(c, seq, &r);
}
