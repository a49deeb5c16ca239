/* See common.h. Thread: any. */
#include "rpc/grpc/common.h"

#include <errno.h>
#include <grpc/support/log.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "rpc/grpc/library.h"

#define PEM_BYTES_MAX (4 * 1024 * 1024)

#if defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *p);
void __tsan_release(void *p);
#define HANDED_OVER(p) __tsan_release(p)
#define TAKEN_OVER(p) __tsan_acquire(p)
#else
#define HANDED_OVER(p) (void)(p)
#define TAKEN_OVER(p) (void)(p)
#endif

/* Peers can make the library complain as often as they like: what comes within a second of the last
 * line is counted, not written. */
static void write_log(gpr_log_func_args *args)
{
    static _Atomic int64_t next_ns;
    static atomic_int suppressed;
    int64_t now = tl_world_mono_ns(tl_world_real()), at = atomic_load(&next_ns);
    enum tl_log_level level = args->severity == GPR_LOG_SEVERITY_ERROR ? TL_LOG_WARN : TL_LOG_DEBUG;
    if (!tl_log_on(level)) {
        return;
    }
    if (now < at || !atomic_compare_exchange_strong(&next_ns, &at, now + TL_NS_PER_S)) {
        atomic_fetch_add(&suppressed, 1);
        return;
    }
    TL_LOG(level, "grpc.reported", TL_C("message", args->message),
           TL_I("suppressed", atomic_exchange(&suppressed, 0)));
}

/* Abseil, which gRPC locks with, searches for cycles at each lock when it was compiled without NDEBUG, as
 * Debian's is: some hundredths of a server's time. 0 is OnDeadlockCycle::kIgnore. Absent where Abseil is
 * another version or comes with a shared gRPC. */
void tl_absl_deadlock_detection(int mode) __asm__(
    "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE") __attribute__((weak));

tl_rc tl_grpc_start(struct tl_error *err)
{
    tl_rc rc = tl_grpc_library_load(err);
    if (rc == TL_OK) {
        if (tl_absl_deadlock_detection) {
            tl_absl_deadlock_detection(0);
        }
        gpr_set_log_function(write_log);
        grpc_init();
    }
    return rc;
}

void *tl_grpc_tag_sent(struct tl_grpc_tag *tag)
{
    HANDED_OVER(tag);
    return tag;
}

void tl_grpc_serve(grpc_completion_queue *cq)
{
    for (;;) {
        grpc_event ev = grpc_completion_queue_next(cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        if (ev.type == GRPC_QUEUE_SHUTDOWN) {
            return;
        }
        if (ev.type == GRPC_OP_COMPLETE) {
            struct tl_grpc_tag *tag = ev.tag;
            TAKEN_OVER(tag);
            tag->done(tag, ev.success != 0);
        }
    }
}

struct tl_str tl_grpc_slice_str(const grpc_slice *s)
{
    return tl_str_n(GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s));
}

grpc_slice tl_grpc_slice(struct tl_str s)
{
    return grpc_slice_from_copied_buffer(s.p ? s.p : "", s.n);
}

grpc_byte_buffer *tl_grpc_buffer(struct tl_str s)
{
    grpc_slice slice = tl_grpc_slice(s);
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

tl_rc tl_grpc_reader_open(grpc_byte_buffer_reader *reader, grpc_byte_buffer *b, size_t *n)
{
    if (!grpc_byte_buffer_reader_init(reader, b)) {
        return TL_EDECODE;
    }
    *n = grpc_byte_buffer_length(reader->buffer_out);
    return TL_OK;
}

void tl_grpc_reader_close(grpc_byte_buffer_reader *reader, char *to)
{
    grpc_slice slice;
    while (to && grpc_byte_buffer_reader_next(reader, &slice)) {
        size_t part = GRPC_SLICE_LENGTH(slice);
        if (part) {
            memcpy(to, GRPC_SLICE_START_PTR(slice), part);
        }
        to += part;
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(reader);
}

tl_rc tl_grpc_buffer_read(grpc_byte_buffer *b, char **out, size_t *n)
{
    grpc_byte_buffer_reader reader;
    tl_rc rc = tl_grpc_reader_open(&reader, b, n);
    if (rc != TL_OK) {
        return rc;
    }
    *out = tl_mem_try(*n + 1);
    tl_grpc_reader_close(&reader, *out);
    *n = *out ? *n : 0;
    return *out ? TL_OK : TL_EMEMORY;
}

bool tl_grpc_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

tl_rc tl_grpc_read_pem(const char *what, const char *path, char **out, struct tl_error *err)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        return tl_error_set(err, TL_EINVAL, "cannot read the %s '%s': %s", what, path,
                            strerror(errno));
    }
    char *text = tl_mem_alloc(PEM_BYTES_MAX + 1);
    size_t n = fread(text, 1, PEM_BYTES_MAX, f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed || !strstr(text, "-----BEGIN ")) {
        tl_mem_free(text);
        return tl_error_set(err, TL_EINVAL, "the %s '%s' is not in PEM form", what, path);
    }
    *out = tl_mem_realloc(text, n + 1);
    return TL_OK;
}

tl_rc tl_grpc_check_address(const char *what, const char *address, struct tl_error *err)
{
    const char *colon = address ? strrchr(address, ':') : NULL;
    if (!colon || colon == address || !colon[1] ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strstr(address, "://") ||
        strspn(colon + 1, "0") == strlen(colon + 1) || strlen(colon + 1) > 5) {
        return tl_error_set(err, TL_EINVAL, "%s must be host:port, got '%s'", what,
                            address ? address : "");
    }
    return TL_OK;
}
