/* See lua_process.h. */
#include "luahost/lua_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/world.h"
#include "luahost/process_calls.h"
#include "luart/measure.h"
#include "proto/pb.h"

#define READY_WAIT_MS 60000
#define KILL_AFTER_MS 2000  /* a process that does not heed the end of the worker's grace */
#define LEAVE_WAIT_MS 10000 /* for teardown */

struct process {
    struct tl_list node; /* idle */
    pid_t pid;
    int fd;
    int changed; /* eventfd: the task that it runs was cancelled, or the worker shuts down */
};

struct tl_lua_processes {
    struct tl_lua_activities *of;
    int size;
    char *argv[5];
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    struct tl_list idle; /* guarded */
    int count;           /* alive or being started; guarded */
};

static bool program_is_ours;
extern char **environ;

void tl_lua_process_program_is_ours(void)
{
    program_is_ours = true;
}

/* --- starting --------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static char *lua_text(const char *text)
{
    struct tl_buf b;
    size_t n;
    tl_buf_init(&b, (size_t)1 << 20);
    tl_buf_putc(&b, '"');
    for (const char *c = text; c && *c; c++) {
        tl_buf_printf(&b, "\\x%02x", (unsigned char)*c);
    }
    tl_buf_puts(&b, "\"");
    return tl_buf_take(&b, &n);
}

/* A Lua interpreter finds the library as this one does. */
static char *bootstrap(const struct tl_lua_activities *a)
{
    struct tl_buf b;
    size_t n;
    char *path = lua_text(a->path), *cpath = lua_text(a->cpath);
    tl_buf_init(&b, (size_t)8 << 20);
    tl_buf_printf(&b,
                  "package.path, package.cpath = %s, %s; "
                  "os.exit(require('temporal.core').activity_process())",
                  path, cpath);
    tl_mem_free(path);
    tl_mem_free(cpath);
    return tl_buf_take(&b, &n);
}

/* What is started: this program where it is temporal-lua or a Lua interpreter, else what the option names. */
static tl_rc find_program(struct tl_lua_processes *p, const char *given, struct tl_error *err)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    const char *name = base_name(given ? given : self);
    bool binary = given ? strncmp(name, "temporal", 8) == 0 : program_is_ours;
    if (!binary && strncmp(name, "lua", 3) != 0) {
        return tl_error_set(
            err, TL_EINVAL,
            "activity_executor: '%s' cannot be started as an activity process: name "
            "temporal-lua or a Lua 5.4 interpreter as its program",
            given ? given : self);
    }
    p->argv[0] = tl_mem_dup(tl_str(given ? given : self));
    p->argv[1] = tl_mem_dup(tl_str(binary ? TL_LUA_PROCESS_COMMAND : "-e"));
    p->argv[2] = binary ? NULL : bootstrap(p->of);
    return TL_OK;
}

/* Its own process group, so that Ctrl-C reaches the worker only, which then ends it in order. */
static tl_rc spawn(const struct tl_lua_processes *p, struct process *c, struct tl_error *err)
{
    int pair[2];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return tl_error_set(err, TL_EUNAVAILABLE, "a socket for an activity process: %s",
                            strerror(errno));
    }
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", 0, 0);
    posix_spawn_file_actions_adddup2(&files, pair[1], TL_PROCESS_FD);
    posix_spawn_file_actions_addclosefrom_np(&files, TL_PROCESS_FD + 1);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    int rc = posix_spawnp(&c->pid, p->argv[0], &files, &attr, p->argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    close(pair[1]);
    c->fd = pair[0];
    if (rc != 0) {
        close(pair[0]);
        return tl_error_set(err, TL_EUNAVAILABLE, "the activity process '%s' cannot be started: %s",
                            p->argv[0], strerror(rc));
    }
    c->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return TL_OK;
}

static bool greet(const struct tl_lua_processes *p, const struct process *c)
{
    const struct tl_lua_activities *a = p->of;
    struct tl_buf b;
    uint32_t level = TL_LOG_TRACE;
    while (level < TL_LOG_ERROR && !tl_log_on((enum tl_log_level)level)) {
        level++;
    }
    tl_buf_init(&b, TL_PROCESS_FRAME_MAX);
    tl_process_begin(&b, TL_PF_HELLO);
    tl_process_put_u32(&b, level);
    tl_process_put_u32(&b, tl_log_is_json());
    tl_process_put(&b, tl_str(a->path));
    tl_process_put(&b, tl_str(a->cpath));
    tl_process_put(&b, tl_str(a->plan));
    tl_process_put(&b, a->sources);
    tl_process_put_u32(&b, (uint32_t)a->module_count);
    tl_process_put_u32(&b, (uint32_t)a->converter_count);
    for (size_t i = 0; i < a->module_count; i++) {
        tl_process_put(&b, tl_str(a->modules[i]));
    }
    for (size_t i = 0; i < a->converter_count; i++) {
        tl_process_put(&b, tl_str(a->converters[i]));
    }
    bool sent = tl_process_send(c->fd, &b);
    tl_buf_deinit(&b);
    return sent;
}

/* Waits for it to end and describes how; `what` follows "while it ". */
static void reap(struct process *c, const char *what, char *text, size_t cap)
{
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) {
        int s = WTERMSIG(status);
        snprintf(text, cap, "the activity process %d was killed by signal %d (%s)%s while it %s",
                 (int)c->pid, s, strsignal(s),
                 s == SIGKILL ? ", perhaps because the system ran out of memory," : "", what);
    } else {
        snprintf(text, cap, "the activity process %d exited with code %d while it %s", (int)c->pid,
                 WEXITSTATUS(status), what);
    }
    close(c->fd);
    close(c->changed);
    tl_mem_free(c);
}

/* A process that is set up. */
static tl_rc start(struct tl_lua_processes *p, struct process **out, struct tl_error *err)
{
    struct process *c = TL_NEW(struct process);
    char text[256];
    tl_list_init(&c->node);
    tl_rc rc = spawn(p, c, err);
    if (rc != TL_OK) {
        tl_mem_free(c);
        return rc;
    }
    struct tl_buf b;
    struct tl_str fields = {0};
    enum tl_process_frame kind = 0;
    struct pollfd ready = {c->fd, POLLIN, 0};
    tl_buf_init(&b, TL_PROCESS_FRAME_MAX);
    bool came = greet(p, c) && poll(&ready, 1, READY_WAIT_MS) == 1 &&
                tl_process_receive(c->fd, &b, &kind, &fields);
    if (came && kind == TL_PF_READY) {
        *out = c;
    } else {
        kill(c->pid, came ? SIGTERM : SIGKILL);
        if (came) {
            struct tl_str why = tl_process_take(&fields);
            rc = tl_error_set(err, TL_ESCRIPT, "%.*s", TL_STR_FMT(why));
        }
        reap(c, "started", text, sizeof text);
        rc = came ? rc : tl_error_set(err, TL_EUNAVAILABLE, "%s", text);
    }
    tl_buf_deinit(&b);
    return rc;
}

/* --- the pool --------------------------------------------------------------------------------- */

tl_rc tl_lua_processes_new(struct tl_lua_activities *of, const struct tl_lua_process_options *o,
                           struct tl_lua_processes **out, struct tl_error *err)
{
    struct tl_lua_processes *p = TL_NEW(struct tl_lua_processes);
    p->of = of;
    p->size = o->size;
    tl_list_init(&p->idle);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->cond, NULL);
    tl_rc rc = find_program(p, o->program, err);
    *out = p;
    if (rc != TL_OK) {
        tl_lua_processes_free(p);
        *out = NULL;
    }
    return rc;
}

static void give_back(struct tl_lua_processes *p, struct process *c)
{
    pthread_mutex_lock(&p->mutex);
    if (c) {
        tl_list_push_front(&p->idle, &c->node);
    } else {
        p->count--;
    }
    pthread_cond_signal(&p->cond);
    pthread_mutex_unlock(&p->mutex);
}

tl_rc tl_lua_processes_prepare(struct tl_lua_processes *p, struct tl_error *err)
{
    struct process *c = NULL;
    pthread_mutex_lock(&p->mutex);
    bool needed = p->count == 0;
    p->count += needed;
    pthread_mutex_unlock(&p->mutex);
    tl_rc rc = needed ? start(p, &c, err) : TL_OK;
    if (needed) {
        give_back(p, c);
    }
    return rc;
}

static void wake_pool(void *ud)
{
    struct tl_lua_processes *p = ud;
    pthread_mutex_lock(&p->mutex);
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->mutex);
}

/* An idle process, or room for one more (*out NULL). False: the activity was cancelled while it waited. */
static bool take(struct tl_lua_processes *p, struct tl_activity *a, struct process **out)
{
    struct tl_list *n = NULL;
    bool room = false;
    tl_activity_on_change(a, wake_pool, p);
    pthread_mutex_lock(&p->mutex);
    while (!n && !room && !tl_activity_cancel_reasons(a)) {
        n = tl_list_pop(&p->idle);
        room = !n && p->count < p->size;
        if (!n && !room) {
            pthread_cond_wait(&p->cond, &p->mutex);
        }
    }
    p->count += room;
    pthread_mutex_unlock(&p->mutex);
    tl_activity_on_change(a, NULL, NULL);
    *out = n ? TL_CONTAINER(n, struct process, node) : NULL;
    return n || room;
}

static bool waits_to_die(struct process *c, int64_t ms)
{
    const struct timespec step = {0, 5000000};
    for (; ms > 0; ms -= 5) {
        if (waitpid(c->pid, NULL, WNOHANG) != 0) {
            return true;
        }
        nanosleep(&step, NULL);
    }
    return false;
}

void tl_lua_processes_stop(struct tl_lua_processes *p)
{
    TL_LIST_EACH (n, &p->idle) { /* all at once, then each is waited for */
        shutdown(TL_CONTAINER(n, struct process, node)->fd, SHUT_RDWR);
    }
    for (struct tl_list *n; (n = tl_list_pop(&p->idle)) != NULL;) {
        struct process *c = TL_CONTAINER(n, struct process, node);
        if (!waits_to_die(c, LEAVE_WAIT_MS)) {
            TL_LOG(TL_LOG_WARN, "activity_process.killed", TL_I("pid", c->pid),
                   TL_C("why", "its teardown did not end"));
            kill(c->pid, SIGKILL);
            waitpid(c->pid, NULL, 0);
        }
        close(c->fd);
        close(c->changed);
        tl_mem_free(c);
        p->count--;
    }
}

void tl_lua_processes_free(struct tl_lua_processes *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; p->argv[i]; i++) {
        tl_mem_free(p->argv[i]);
    }
    pthread_cond_destroy(&p->cond);
    pthread_mutex_destroy(&p->mutex);
    tl_mem_free(p);
}

/* --- one task --------------------------------------------------------------------------------- */

struct run {
    struct process *c;
    struct tl_activity *a;
    struct tl_process_calls calls;
    unsigned reasons; /* those that the process was told last */
    bool shutting_down;
    struct tl_buf in, out;
    int64_t kill_ns; /* when it is killed, INT64_MAX: not */
    bool killed;
};

static bool send_task(struct run *r, const struct tl_lua_entry *e)
{
    struct tl_activity *a = r->a;
    struct tl_str task;
    tl_process_begin(&r->out, TL_PF_TASK);
    tl_process_put(&r->out, tl_str(e->name));
    tl_process_put_u32(&r->out, a->is_local);
    tl_process_put(&r->out, a->namespace_name);
    tl_process_put(&r->out, a->task_queue);
    tl_process_put(&r->out, tl_client_identity(tl_activity_client(a)));
    if (tl_pb_encode_arena(a->task, a->arena, &task, NULL) != TL_OK) {
        return false;
    }
    tl_process_put(&r->out, task);
    return tl_process_send(r->c->fd, &r->out);
}

static bool send_change(struct run *r)
{
    unsigned reasons = tl_activity_cancel_reasons(r->a);
    bool shutting_down = tl_activity_worker_shutting_down(r->a);
    if (reasons == r->reasons && shutting_down == r->shutting_down) {
        return true; /* it was an answer that woke us */
    }
    r->reasons = reasons;
    r->shutting_down = shutting_down;
    tl_process_begin(&r->out, TL_PF_CHANGE);
    tl_process_put_u32(&r->out, reasons);
    tl_process_put_u32(&r->out, shutting_down);
    if ((reasons & TL_CANCEL_WORKER_SHUTDOWN) && r->kill_ns == INT64_MAX) {
        r->kill_ns = tl_world_mono_ns(tl_world_real()) + KILL_AFTER_MS * TL_NS_PER_MS;
    }
    return tl_process_send(r->c->fd, &r->out);
}

/* Details that cannot be taken are the process's to complain of: it has the same limit. */
static void relay_heartbeat(struct run *r, struct tl_str bytes)
{
    struct tl_arena arena;
    TpCommon__Payloads *details = NULL;
    tl_arena_init(&arena, TL_PROCESS_FRAME_MAX);
    if (tl_pb_decode(&tp_common__payloads__descriptor, bytes, &arena, &details, NULL) == TL_OK) {
        tl_rc rc = tl_activity_heartbeat(r->a, details, NULL);
        (void)rc; /* a cancellation comes as a change */
    }
    tl_arena_deinit(&arena);
}

static bool take_number(struct tl_str *fields, void *out, size_t n)
{
    struct tl_str field = tl_process_take(fields);
    if (field.n == n) {
        memcpy(out, field.p, n);
    }
    return field.n == n;
}

/* What cannot be a metric is left out with a line; false: the process talks nonsense. */
static bool relay_metric(struct run *r, struct tl_str fields)
{
    struct tl_label labels[TL_METRIC_CUSTOM_LABELS_MAX];
    struct tl_metric_record m = {.labels = labels};
    struct tl_error err = {0};
    m.type = (int)tl_process_take_u32(&fields);
    char *name = tl_mem_dup(tl_process_take(&fields));
    char *description = tl_mem_dup(tl_process_take(&fields));
    char *unit = tl_mem_dup(tl_process_take(&fields));
    m.name = name;
    m.description = description;
    m.unit = unit;
    bool ok = take_number(&fields, &m.whole, sizeof m.whole) &&
              take_number(&fields, &m.real, sizeof m.real);
    m.n = tl_process_take_u32(&fields);
    ok = ok && m.n <= TL_METRIC_CUSTOM_LABELS_MAX;
    for (size_t i = 0; ok && i < m.n; i++) {
        labels[i].name = tl_process_take(&fields);
        labels[i].value = tl_process_take(&fields);
    }
    if (ok &&
        tl_stock_metric_record(tl_client_metrics(tl_activity_client(r->a)), &m, &err) != TL_OK) {
        TL_LOG(TL_LOG_WARN, "activity_process.metric_refused", TL_C("metric", name),
               TL_C("error", err.message));
    }
    tl_mem_free(name);
    tl_mem_free(description);
    tl_mem_free(unit);
    return ok;
}

static bool end_task(struct run *r, struct tl_str fields)
{
    enum tl_act_end how = (enum tl_act_end)tl_process_take_u32(&fields);
    struct tl_str bytes = tl_process_take(&fields);
    const ProtobufCMessageDescriptor *type =
        how == TL_ACT_FAILED ? &tp_failure__failure__descriptor : &tp_common__payloads__descriptor;
    void *body = NULL;
    if (tl_pb_decode(type, bytes, r->a->arena, &body, NULL) != TL_OK) {
        return false;
    }
    switch (how) {
    case TL_ACT_COMPLETED:
        tl_activity_complete(r->a, body);
        return true;
    case TL_ACT_FAILED:
        tl_activity_fail(r->a, body);
        return true;
    case TL_ACT_CANCELED:
        tl_activity_end_canceled(r->a, body);
        return true;
    case TL_ACT_ASYNC:
        tl_activity_complete_async(r->a);
        return true;
    case TL_ACT_OPEN:
        break;
    }
    return false;
}

/* One frame. False: the process is gone or talks nonsense. */
static bool take_frame(struct run *r)
{
    enum tl_process_frame kind;
    struct tl_str fields;
    if (!tl_process_receive(r->c->fd, &r->in, &kind, &fields)) {
        return false;
    }
    if (kind == TL_PF_BEAT) {
        relay_heartbeat(r, tl_process_take(&fields));
        return true;
    }
    if (kind == TL_PF_METRIC) {
        return relay_metric(r, fields);
    }
    if (kind == TL_PF_CALL) {
        return tl_process_calls_begin(&r->calls, fields);
    }
    if (kind == TL_PF_HANG_UP) {
        tl_process_calls_hang_up(&r->calls, fields);
        return true;
    }
    return kind == TL_PF_END && end_task(r, fields);
}

/* Relays until the task has ended. False: the process is gone. */
static bool relay(struct run *r)
{
    struct pollfd fds[2] = {{r->c->fd, POLLIN, 0}, {r->c->changed, POLLIN, 0}};
    uint64_t count;
    while (!tl_activity_ended(r->a)) {
        int64_t left = r->kill_ns == INT64_MAX
                           ? -1
                           : (r->kill_ns - tl_world_mono_ns(tl_world_real())) / TL_NS_PER_MS;
        int n = poll(fds, 2, left < 0 && r->kill_ns == INT64_MAX ? -1 : (int)(left > 0 ? left : 0));
        if (n == 0) {
            kill(r->c->pid, SIGKILL);
            r->killed = true;
            r->kill_ns = INT64_MAX;
        }
        if (n > 0 && (fds[1].revents & POLLIN) && read(r->c->changed, &count, sizeof count) > 0 &&
            !(send_change(r) && tl_process_calls_answer(&r->calls, &r->out))) {
            return false;
        }
        if (n > 0 && fds[0].revents && !take_frame(r)) {
            return false;
        }
    }
    return true;
}

static void note_change(void *ud)
{
    const struct process *c = ud;
    const uint64_t one = 1;
    ssize_t n = write(c->changed, &one, sizeof one);
    (void)n; /* full: there is a note already */
}

static void crashed(struct run *r)
{
    char text[256];
    kill(r->c->pid, SIGKILL); /* if it is not dead, it is out of step */
    reap(r->c, "ran the activity", text, sizeof text);
    TL_LOG(TL_LOG_WARN, "activity_process.died", TL_C("error", text),
           TL_C("activity_type", r->a->task->activity_type->name),
           TL_C("activity_id", r->a->task->activity_id));
    if (r->killed) {
        tl_activity_end_canceled(r->a, NULL); /* reported as the worker's shutdown */
    } else {
        tl_activity_fail(r->a, tl_activity_failure(r->a->arena, TL_STR_LIT("ActivityProcessDied"),
                                                   tl_str(text), false));
    }
}

/* One that has died while nobody used it says nothing and is at its end. */
static bool is_alive(const struct process *c)
{
    struct pollfd end = {c->fd, POLLIN, 0};
    return poll(&end, 1, 0) == 0;
}

void tl_lua_processes_run(struct tl_lua_processes *p, const struct tl_lua_entry *e,
                          struct tl_activity *a)
{
    struct tl_error err;
    struct run r = {.a = a, .kill_ns = INT64_MAX};
    if (!take(p, a, &r.c)) {
        tl_activity_end_canceled(a, NULL);
        return;
    }
    if (r.c && !is_alive(r.c)) {
        char text[256];
        kill(r.c->pid, SIGKILL);
        reap(r.c, "was idle", text, sizeof text);
        TL_LOG(TL_LOG_WARN, "activity_process.died", TL_C("error", text));
        r.c = NULL;
    }
    if (!r.c && start(p, &r.c, &err) != TL_OK) {
        give_back(p, NULL);
        tl_lua_fail_plainly(a, err.message);
        return;
    }
    uint64_t stale;
    ssize_t n = read(r.c->changed, &stale, sizeof stale); /* of the task before */
    (void)n;
    tl_buf_init(&r.in, TL_PROCESS_FRAME_MAX);
    tl_buf_init(&r.out, TL_PROCESS_FRAME_MAX);
    tl_process_calls_init(&r.calls, tl_client_channel(tl_activity_client(a)), r.c->fd,
                          r.c->changed);
    bool alive = send_task(&r, e);
    tl_activity_on_change(a, note_change, r.c);
    alive = alive && relay(&r);
    tl_activity_on_change(a, NULL, NULL);
    tl_process_calls_deinit(&r.calls); /* they use the descriptors of the process */
    if (!alive) {
        crashed(&r);
    }
    give_back(p, alive ? r.c : NULL);
    tl_buf_deinit(&r.in);
    tl_buf_deinit(&r.out);
}
