/* The method table, completed from the generated service descriptors at first use. */
#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "rpc/rpc.h"
#include "temporal/api/operatorservice/v1/service.pb-c.h"
#include "temporal/api/testservice/v1/service.pb-c.h"
#include "temporal/api/workflowservice/v1/service.pb-c.h"

#define PATH_MAX_BYTES 160

static struct tl_method_info infos[TL_METHOD_COUNT] = {
#define X(service_, name_, class_)                                                                 \
    {.method = TL_M_##name_,                                                                       \
     .service = TL_SERVICE_##service_,                                                             \
     .class = TL_METHOD_##class_,                                                                  \
     .name = #name_},
#include "rpc/methods.def"
#undef X
};

static char paths[TL_METHOD_COUNT][PATH_MAX_BYTES];

static const ProtobufCServiceDescriptor *descriptor(enum tl_service_id s)
{
    switch (s) {
    case TL_SERVICE_WORKFLOW:
        return &tp_ws__workflow_service__descriptor;
    case TL_SERVICE_OPERATOR:
        return &tp_os__operator_service__descriptor;
    case TL_SERVICE_TEST:
        return &tp_ts__test_service__descriptor;
    case TL_SERVICE_COUNT:
        break;
    }
    TL_UNREACHABLE();
}

static void complete(void)
{
    for (int i = 0; i < TL_METHOD_COUNT; i++) {
        const ProtobufCServiceDescriptor *svc = descriptor(infos[i].service);
        const ProtobufCMethodDescriptor *m =
            protobuf_c_service_descriptor_get_method_by_name(svc, infos[i].name);
        TL_ASSERT(m != NULL);
        snprintf(paths[i], sizeof paths[i], "/%s/%s", svc->name, infos[i].name);
        infos[i].path = paths[i];
        infos[i].input = m->input;
        infos[i].output = m->output;
    }
}

const struct tl_method_info *tl_method_info(enum tl_method m)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    TL_ASSERT((int)m >= 0 && m < TL_METHOD_COUNT);
    pthread_once(&once, complete);
    return &infos[m];
}

bool tl_method_find(struct tl_str name, enum tl_method *out)
{
    for (int i = 0; i < TL_METHOD_COUNT; i++) {
        const struct tl_method_info *info = tl_method_info((enum tl_method)i);
        if (tl_str_eqc(name, info->name) || tl_str_eqc(name, info->path)) {
            *out = info->method;
            return true;
        }
    }
    return false;
}

const char *tl_service_name(enum tl_service_id s)
{
    return descriptor(s)->name;
}
