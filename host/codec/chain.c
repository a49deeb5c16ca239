/* Chains of codecs. See codec.h. */
#include "codec/codec.h"

bool tl_codec_chain_add(struct tl_codec_chain *chain, struct tl_codec *codec)
{
    if (chain->n == TL_CODECS_MAX) {
        codec->ops->free(codec);
        return false;
    }
    chain->items[chain->n++] = codec;
    return true;
}

void tl_codec_chain_deinit(struct tl_codec_chain *chain)
{
    while (chain->n) {
        struct tl_codec *codec = chain->items[--chain->n];
        codec->ops->free(codec);
    }
}

bool tl_codec_chain_asks(const struct tl_codec_chain *chain)
{
    bool asks = false;
    for (size_t i = 0; i < chain->n; i++) {
        asks = asks || chain->items[i]->asks_context;
    }
    return asks;
}

tl_rc tl_codec_chain_apply(struct tl_codec_chain *chain, enum tl_codec_way way,
                           struct tl_payload_span *span, struct tl_arena *arena,
                           struct tl_error *err)
{
    for (size_t i = 0; i < chain->n; i++) {
        struct tl_codec *c = chain->items[way == TL_CODEC_ENCODE ? chain->n - 1 - i : i];
        tl_rc rc = c->ops->apply(c, way, span, arena, err);
        if (rc != TL_OK) {
            return tl_error_wrap(err, rc, "payload codec %s", c->ops->name);
        }
    }
    return TL_OK;
}
