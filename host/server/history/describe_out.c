/* See describe_out.h. */
#include "server/history/describe_out.h"

void *tl_out_check(struct tl_out *o, void *p)
{
    o->full |= p == NULL;
    return p;
}

char *tl_out_copy(struct tl_out *o, const char *s)
{
    return tl_out_check(o, tl_pb_cstr(o->a, tl_str(tl_or_empty(s))));
}

Google__Protobuf__Timestamp *tl_out_time(struct tl_out *o, int64_t ns)
{
    return ns > 0 ? tl_out_check(o, tl_pb_timestamp(o->a, ns)) : NULL;
}

Google__Protobuf__Duration *tl_out_span(struct tl_out *o, int64_t ns)
{
    return tl_out_check(o, tl_pb_duration_ns(o->a, ns));
}

void *tl_out_decode(struct tl_out *o, const struct tl_blob *b,
                    const ProtobufCMessageDescriptor *desc)
{
    return b->n ? tl_out_check(o, tl_blob_decode(b, desc, o->a)) : NULL;
}
