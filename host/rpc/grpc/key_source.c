/* See key_source.h. */
#include "rpc/grpc/key_source.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "rpc/grpc/common.h"
#include "rpc/grpc/headers.h"

#define FILE_LOOK_NS TL_NS_PER_S
#define REFRESH_NS (60 * TL_NS_PER_S)
#define AGAIN_NS (5 * TL_NS_PER_S)                       /* after a function that failed */
#define FILE_BYTES_MAX (TL_GRPC_API_KEY_BYTES_MAX + 256) /* a key and blanks behind it */

struct tl_grpc_key_source {
    pthread_mutex_t mutex;
    char *path; /* or */
    tl_grpc_api_key_fn fetch;
    void *ud;
    int64_t every_ns;
    _Atomic int64_t due_ns;
    struct stat seen;
    bool failing;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What is wrong with the bytes of a file as a key; NULL: nothing. */
static const char *fault_of(const char *text, size_t n)
{
    if (n == 0) {
        return "is empty";
    }
    if (n > TL_GRPC_API_KEY_BYTES_MAX) {
        return "is longer than 65536 bytes";
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            return "has characters that cannot be sent: it must be one line of printable ASCII";
        }
    }
    return NULL;
}

static char *text_of_file(const char *path, struct tl_error *err)
{
    FILE *f = fopen(path, "rbe");
    char *text = tl_mem_alloc(FILE_BYTES_MAX + 1);
    size_t n = f ? fread(text, 1, FILE_BYTES_MAX, f) : 0;
    int error = !f || ferror(f) ? errno : 0;
    if (f) {
        fclose(f);
    }
    while (n > 0 && is_blank(text[n - 1])) {
        n--;
    }
    text[n] = 0;
    const char *fault = error ? NULL : fault_of(text, n);
    if (!error && !fault) {
        return text;
    }
    tl_mem_free(text);
    if (error) {
        (void)tl_error_set(err, TL_EINVAL, "cannot read the API key '%s': %s", path,
                           strerror(error));
    } else {
        (void)tl_error_set(err, TL_EINVAL, "the API key '%s' %s", path, fault);
    }
    return NULL;
}

/* The key now; NULL without an error: the file is the one that was read last. */
static char *ask(struct tl_grpc_key_source *s, struct tl_error *err)
{
    char *key = NULL;
    if (!s->path) {
        const char *told = s->fetch(s->ud);
        if (!told || !*told) {
            (void)tl_error_set(err, TL_EINVAL, "the function told no API key");
            return NULL;
        }
        return tl_mem_dup(tl_str(told));
    }
    struct stat now;
    memset(&now, 0, sizeof now);
    if (stat(s->path, &now) == 0 && tl_grpc_same_file(&now, &s->seen)) {
        return NULL;
    }
    key = text_of_file(s->path, err);
    if (key) {
        s->seen = now;
    }
    return key;
}

tl_rc tl_grpc_key_source_open(struct tl_grpc_key_source **out, char **key,
                              const struct tl_grpc_channel_options *o, struct tl_error *err)
{
    *out = NULL;
    *key = NULL;
    if ((o->api_key && *o->api_key) + (o->api_key_path != NULL) + (o->api_key_fn != NULL) > 1) {
        return tl_error_set(
            err, TL_EINVAL,
            "give the API key, its file or a function that tells it, not two of them");
    }
    if (!o->api_key_path && !o->api_key_fn) {
        return TL_OK;
    }
    struct tl_grpc_key_source *s = TL_NEW(struct tl_grpc_key_source);
    pthread_mutex_init(&s->mutex, NULL);
    s->path = o->api_key_path ? tl_mem_dup(tl_str(o->api_key_path)) : NULL;
    s->fetch = o->api_key_fn;
    s->ud = o->api_key_ud;
    s->every_ns =
        o->api_key_path
            ? FILE_LOOK_NS
            : (o->api_key_refresh_ms > 0 ? o->api_key_refresh_ms * TL_NS_PER_MS : REFRESH_NS);
    struct tl_error why = {0};
    *key = ask(s, &why);
    if (!*key) {
        tl_grpc_key_source_free(s);
        return tl_error_set(err, TL_EINVAL, "%s", why.message);
    }
    atomic_store(&s->due_ns, tl_world_mono_ns(tl_world_real()) + s->every_ns);
    *out = s;
    return TL_OK;
}

static void tell(struct tl_grpc_key_source *s, bool failed, const struct tl_error *err)
{
    if (failed && !s->failing) {
        TL_LOG(TL_LOG_WARN, "grpc.api_key_kept", TL_C("error", err->message));
    } else if (!failed && s->failing) {
        TL_LOG(TL_LOG_INFO, "grpc.api_key_renewed");
    }
    s->failing = failed;
}

char *tl_grpc_key_source_take(struct tl_grpc_key_source *s)
{
    char *key = NULL;
    if (!s || tl_world_mono_ns(tl_world_real()) < atomic_load(&s->due_ns) ||
        pthread_mutex_trylock(&s->mutex) != 0) {
        return NULL;
    }
    if (tl_world_mono_ns(tl_world_real()) >= atomic_load(&s->due_ns)) {
        struct tl_error err = {0};
        key = ask(s, &err);
        bool failed = !key && err.message[0];
        tell(s, failed, &err);
        int64_t pause = failed && s->every_ns > AGAIN_NS ? AGAIN_NS : s->every_ns;
        atomic_store(&s->due_ns, tl_world_mono_ns(tl_world_real()) + pause);
    }
    pthread_mutex_unlock(&s->mutex);
    return key;
}

void tl_grpc_key_source_free(struct tl_grpc_key_source *s)
{
    if (s) {
        pthread_mutex_destroy(&s->mutex);
        tl_mem_free(s->path);
        tl_mem_free(s);
    }
}
