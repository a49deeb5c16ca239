/* See own.h. The port serves as long as it is open, so every service it knows is SERVING. */
#include "rpc/grpc/own.h"

#include <stdlib.h>

#include <grpc/health/v1/health.pb-c.h>
#include <grpc/reflection/v1/reflection.pb-c.h>

#include "base/error.h"
#include "proto/pb.h"
#include "rpc/descriptors.h"
#include "rpc/rpc.h"

static const char *const own_services[] = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
};
#define OWN_SERVICES (sizeof own_services / sizeof own_services[0])
#define SERVICES (OWN_SERVICES + TL_SERVICE_COUNT)

static const char *service_name(size_t i)
{
    return i < TL_SERVICE_COUNT ? tl_service_name((enum tl_service_id)i)
                                : own_services[i - TL_SERVICE_COUNT];
}

enum tl_grpc_own tl_grpc_own_find(struct tl_str path)
{
    static const char *const paths[] = {
        [TL_GRPC_OWN_NONE] = "",
        [TL_GRPC_OWN_HEALTH_CHECK] = "/grpc.health.v1.Health/Check",
        [TL_GRPC_OWN_HEALTH_LIST] = "/grpc.health.v1.Health/List",
        [TL_GRPC_OWN_HEALTH_WATCH] = "/grpc.health.v1.Health/Watch",
        [TL_GRPC_OWN_REFLECTION] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        [TL_GRPC_OWN_REFLECTION_ALPHA] =
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    };
    for (size_t i = 1; i < sizeof paths / sizeof paths[0]; i++) {
        if (tl_str_eqc(path, paths[i])) {
            return (enum tl_grpc_own)i;
        }
    }
    return TL_GRPC_OWN_NONE;
}

bool tl_grpc_own_streams(enum tl_grpc_own method)
{
    return method >= TL_GRPC_OWN_HEALTH_WATCH;
}

/* What is answered: a message, or a status with a text. */
struct answer {
    const void *msg;
    int status;
    struct tl_str text;
};

static struct answer refuse(tl_rc rc, const char *text)
{
    return (struct answer){NULL, tl_rc_grpc_status(rc), tl_str(text)};
}

/* --- health ------------------------------------------------------------------------------------------ */

/* "" asks for the server as a whole. */
static bool is_served(const char *name)
{
    for (size_t i = 0; *name && i < SERVICES; i++) {
        if (strcmp(name, service_name(i)) == 0) {
            return true;
        }
    }
    return !*name;
}

static struct answer answer_health(enum tl_grpc_own method, struct tl_str request,
                                   struct tl_arena *arena)
{
    const TpHealth__HealthCheckRequest *q;
    TpHealth__HealthCheckResponse *r =
        TL_PB_NEW(arena, TpHealth__HealthCheckResponse, tp_health__health_check_response);
    if (!r || tl_pb_decode(&tp_health__health_check_request__descriptor, request, arena, &q,
                           NULL) != TL_OK) {
        return refuse(TL_EINVAL, "malformed health request");
    }
    r->status = TP_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    if (!is_served(q->service)) {
        if (method == TL_GRPC_OWN_HEALTH_CHECK) {
            return refuse(TL_ENOTFOUND, "unknown service");
        }
        r->status = TP_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    }
    return (struct answer){.msg = r};
}

static struct answer answer_health_list(struct tl_arena *arena)
{
    TpHealth__HealthListResponse *list =
        TL_PB_NEW(arena, TpHealth__HealthListResponse, tp_health__health_list_response);
    struct tl_pb_list statuses = {0};
    for (size_t i = 0; list && i <= SERVICES; i++) {
        TpHealth__HealthListResponse__StatusesEntry *e =
            TL_PB_NEW(arena, TpHealth__HealthListResponse__StatusesEntry,
                      tp_health__health_list_response__statuses_entry);
        TpHealth__HealthCheckResponse *r =
            TL_PB_NEW(arena, TpHealth__HealthCheckResponse, tp_health__health_check_response);
        if (!e || !r || !tl_pb_push(arena, &statuses, e)) {
            return refuse(TL_ELIMIT, "out of memory");
        }
        r->status = TP_HEALTH__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
        e->key = tl_pb_cstr(arena, tl_str(i < SERVICES ? service_name(i) : ""));
        e->value = r;
    }
    if (!list) {
        return refuse(TL_ELIMIT, "out of memory");
    }
    list->n_statuses = statuses.n;
    list->statuses = statuses.items;
    return (struct answer){.msg = list};
}

/* --- reflection -------------------------------------------------------------------------------------- */

static int compare_symbol(const void *name, const void *symbol)
{
    return strcmp(name, ((const struct tl_descriptor_symbol *)symbol)->name);
}

/* Index of the file that defines it, -1: none. */
static int file_of_symbol(const char *name)
{
    const struct tl_descriptor_symbol *s =
        bsearch(name, tl_descriptor_symbols, tl_descriptor_symbol_count, sizeof *s, compare_symbol);
    return s ? s->file : -1;
}

static int file_of_name(const char *name)
{
    for (size_t i = 0; i < tl_descriptor_file_count; i++) {
        if (strcmp(tl_descriptor_files[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool put_error(TpReflection__ServerReflectionResponse *r, struct tl_arena *arena,
                      const char *what, const char *name)
{
    TpReflection__ErrorResponse *e =
        TL_PB_NEW(arena, TpReflection__ErrorResponse, tp_reflection__error_response);
    if (!e) {
        return false;
    }
    e->error_code = tl_rc_grpc_status(TL_ENOTFOUND);
    e->error_message = tl_arena_printf(arena, "%s not found: %s", what, name);
    r->error_response = e;
    r->message_response_case =
        TP_REFLECTION__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    return e->error_message != NULL;
}

/* The file and, behind it, everything it needs: what a file imports has a smaller index, so one walk
 * downwards finds all. */
static bool put_file(TpReflection__ServerReflectionResponse *r, struct tl_arena *arena, int file,
                     const char *what, const char *name)
{
    if (file < 0) {
        return put_error(r, arena, what, name);
    }
    size_t count = (size_t)file + 1;
    bool *needed = TL_ARENA_ARRAY(arena, bool, count);
    ProtobufCBinaryData *items = TL_ARENA_ARRAY(arena, ProtobufCBinaryData, count);
    TpReflection__FileDescriptorResponse *files = TL_PB_NEW(
        arena, TpReflection__FileDescriptorResponse, tp_reflection__file_descriptor_response);
    if (!needed || !items || !files) {
        return false;
    }
    needed[file] = true;
    for (int i = file; i >= 0; i--) {
        if (needed[i]) {
            items[files->n_file_descriptor_proto++] =
                tl_pb_bytes_view(tl_descriptor_files[i].bytes);
            for (const int *dep = tl_descriptor_files[i].deps; *dep >= 0; dep++) {
                needed[*dep] = true;
            }
        }
    }
    files->file_descriptor_proto = items;
    r->file_descriptor_response = files;
    r->message_response_case =
        TP_REFLECTION__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    return true;
}

/* No message here has extensions. */
static bool put_extensions(TpReflection__ServerReflectionResponse *r, struct tl_arena *arena,
                           const char *type)
{
    if (!tl_pb_find_message(tl_str(type))) {
        return put_error(r, arena, "type", type);
    }
    TpReflection__ExtensionNumberResponse *e = TL_PB_NEW(
        arena, TpReflection__ExtensionNumberResponse, tp_reflection__extension_number_response);
    if (!e) {
        return false;
    }
    e->base_type_name = tl_pb_cstr(arena, tl_str(type));
    r->all_extension_numbers_response = e;
    r->message_response_case =
        TP_REFLECTION__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    return e->base_type_name != NULL;
}

static bool put_services(TpReflection__ServerReflectionResponse *r, struct tl_arena *arena)
{
    TpReflection__ListServiceResponse *list =
        TL_PB_NEW(arena, TpReflection__ListServiceResponse, tp_reflection__list_service_response);
    struct tl_pb_list services = {0};
    for (size_t i = 0; list && i < SERVICES; i++) {
        TpReflection__ServiceResponse *s =
            TL_PB_NEW(arena, TpReflection__ServiceResponse, tp_reflection__service_response);
        if (!s || !tl_pb_push(arena, &services, s)) {
            return false;
        }
        s->name = tl_pb_cstr(arena, tl_str(service_name(i)));
    }
    if (!list) {
        return false;
    }
    list->n_service = services.n;
    list->service = services.items;
    r->list_services_response = list;
    r->message_response_case =
        TP_REFLECTION__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    return true;
}

static struct answer answer_reflection(struct tl_str request, struct tl_arena *arena)
{
    TpReflection__ServerReflectionRequest *q;
    TpReflection__ServerReflectionResponse *r = TL_PB_NEW(
        arena, TpReflection__ServerReflectionResponse, tp_reflection__server_reflection_response);
    if (!r || tl_pb_decode(&tp_reflection__server_reflection_request__descriptor, request, arena,
                           &q, NULL) != TL_OK) {
        return refuse(TL_EINVAL, "malformed reflection request");
    }
    bool ok = false;
    r->valid_host = q->host;
    r->original_request = q;
    switch (q->message_request_case) {
    case TP_REFLECTION__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        ok = put_file(r, arena, file_of_name(q->file_by_filename), "file", q->file_by_filename);
        break;
    case TP_REFLECTION__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        ok = put_file(r, arena, file_of_symbol(q->file_containing_symbol), "symbol",
                      q->file_containing_symbol);
        break;
    case TP_REFLECTION__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        ok = put_error(r, arena, "extension", q->file_containing_extension->containing_type);
        break;
    case TP_REFLECTION__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        ok = put_extensions(r, arena, q->all_extension_numbers_of_type);
        break;
    case TP_REFLECTION__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        ok = put_services(r, arena);
        break;
    default:
        return refuse(TL_EINVAL, "the reflection request asks for nothing");
    }
    return ok ? (struct answer){.msg = r} : refuse(TL_ELIMIT, "out of memory");
}

int tl_grpc_own_answer(enum tl_grpc_own method, struct tl_str request, struct tl_arena *arena,
                       struct tl_str *body, struct tl_str *text)
{
    struct answer a;
    switch (method) {
    case TL_GRPC_OWN_HEALTH_CHECK:
    case TL_GRPC_OWN_HEALTH_WATCH:
        a = answer_health(method, request, arena);
        break;
    case TL_GRPC_OWN_HEALTH_LIST:
        a = answer_health_list(arena);
        break;
    case TL_GRPC_OWN_REFLECTION:
    case TL_GRPC_OWN_REFLECTION_ALPHA:
        a = answer_reflection(request, arena);
        break;
    case TL_GRPC_OWN_NONE:
    default:
        a = refuse(TL_EUNIMPLEMENTED, "unknown service or method");
        break;
    }
    if (a.msg && tl_pb_encode_arena(a.msg, arena, body, NULL) != TL_OK) {
        a = refuse(TL_EINTERNAL, "the answer cannot be encoded");
    }
    *text = a.text;
    return a.msg ? 0 : a.status;
}
