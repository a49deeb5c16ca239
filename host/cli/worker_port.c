/* See worker_port.h. */
#include "cli/worker_port.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

enum { COMMAND_BYTES = 256, PIDS_MAX = 64 };

struct tl_worker_port {
    struct tl_host *host;
    int listener, stop[2]; /* a byte in the pipe ends the thread */
    pthread_t thread;
    struct sockaddr_un address;
};

/* One request under way; shared by the port's thread and the request. */
struct asked {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done, ok, left; /* left: the port's thread does not wait any more */
    char *text;
};

/* --- where ------------------------------------------------------------------------------------- */

static tl_rc folder(char *out, size_t cap, bool make, struct tl_error *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (runtime && runtime[0] == '/') {
        snprintf(out, cap, "%s/temporal-lua", runtime);
    } else {
        snprintf(out, cap, "/tmp/temporal-lua-%u", (unsigned)geteuid());
    }
    if (make && mkdir(out, 0700) != 0 && errno != EEXIST) {
        return tl_error_set(err, TL_EIO, "%s: %s", out, strerror(errno));
    }
    if (lstat(out, &st) != 0) {
        return tl_error_set(err, TL_ENOTFOUND, "no worker of yours is running");
    }
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077)) {
        return tl_error_set(err, TL_EPRECONDITION, "%s: not a folder of yours alone (mode 0700)",
                            out);
    }
    return TL_OK;
}

static tl_rc socket_address(const char *where, pid_t pid, struct sockaddr_un *a,
                            struct tl_error *err)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(a->sun_path, sizeof a->sun_path, "%s/worker-%ld.sock", where, (long)pid);
    return n < (int)sizeof a->sun_path
               ? TL_OK
               : tl_error_set(err, TL_EIO, "%s: the path is too long", where);
}

/* --- the worker's side ------------------------------------------------------------------------- */

static void free_asked(struct asked *a)
{
    pthread_mutex_destroy(&a->mutex);
    pthread_cond_destroy(&a->cond);
    tl_mem_free(a->text);
    tl_mem_free(a);
}

static void came(void *ud, bool ok, const char *text)
{
    struct asked *a = ud;
    pthread_mutex_lock(&a->mutex);
    bool left = a->left;
    a->done = true;
    a->ok = ok;
    a->text = tl_mem_dup(tl_str(text));
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->mutex);
    if (left) {
        free_asked(a);
    }
}

/* True when the port is being closed, within 20 ms. */
static bool stopping(const struct tl_worker_port *p)
{
    struct pollfd fd = {.fd = p->stop[0], .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

static void wait_for(struct tl_worker_port *p, struct asked *a)
{
    while (!a->done && !stopping(p)) {
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME, &ts);
        ts.tv_nsec += 20 * 1000000;
        ts.tv_sec += ts.tv_nsec / 1000000000;
        ts.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&a->cond, &a->mutex, &ts);
    }
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* who asked has gone */
        }
        p += sent;
        n -= (size_t)sent;
    }
}

static void serve(struct tl_worker_port *p, int fd, const char *command)
{
    struct asked *a = TL_NEW(struct asked);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->cond, NULL);
    if (!tl_host_request(p->host, command, came, a)) {
        free_asked(a);
        return;
    }
    pthread_mutex_lock(&a->mutex);
    wait_for(p, a);
    bool done = a->done;
    a->left = !done;
    if (done) {
        send_all(fd, a->ok ? "ok\n" : "refused\n", a->ok ? 3 : 8);
        send_all(fd, a->text, strlen(a->text));
    }
    pthread_mutex_unlock(&a->mutex);
    if (done) {
        free_asked(a);
    }
}

/* A line, at most one second late. */
static bool read_command(int fd, char *out, size_t cap)
{
    struct timeval wait = {.tv_sec = 1};
    size_t n = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    while (n + 1 < cap && recv(fd, out + n, 1, 0) == 1) {
        if (out[n] == '\n') {
            out[n] = 0;
            return true;
        }
        n++;
    }
    return false;
}

static void *port_thread(void *ud)
{
    struct tl_worker_port *p = ud;
    struct pollfd fds[2] = {{.fd = p->listener, .events = POLLIN},
                            {.fd = p->stop[0], .events = POLLIN}};
    while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
        char command[COMMAND_BYTES];
        if (fds[1].revents) {
            break;
        }
        int fd = fds[0].revents ? accept4(p->listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd >= 0) {
            if (read_command(fd, command, sizeof command)) {
                serve(p, fd, command);
            }
            close(fd);
        }
    }
    return NULL;
}

static void free_port(struct tl_worker_port *p)
{
    if (p->listener >= 0) {
        close(p->listener);
    }
    for (int i = 0; i < 2; i++) {
        if (p->stop[i] >= 0) {
            close(p->stop[i]);
        }
    }
    tl_mem_free(p);
}

tl_rc tl_worker_port_open(struct tl_worker_port **out, struct tl_host *host, struct tl_error *err)
{
    char where[sizeof((struct sockaddr_un *)0)->sun_path * 2];
    struct tl_worker_port *p = TL_NEW(struct tl_worker_port);
    *out = NULL;
    *p = (struct tl_worker_port){.host = host, .listener = -1, .stop = {-1, -1}};
    tl_rc rc = folder(where, sizeof where, true, err);
    if (rc == TL_OK) {
        rc = socket_address(where, getpid(), &p->address, err);
    }
    if (rc == TL_OK) {
        unlink(p->address.sun_path); /* of a process that had this number before */
        p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (p->listener < 0 ||
            bind(p->listener, (struct sockaddr *)&p->address, sizeof p->address) != 0 ||
            listen(p->listener, 8) != 0 || pipe(p->stop) != 0 ||
            pthread_create(&p->thread, NULL, port_thread, p) != 0) {
            rc = tl_error_set(err, TL_EIO, "%s: %s", p->address.sun_path, strerror(errno));
        }
    }
    if (rc != TL_OK) {
        free_port(p);
        return rc;
    }
    *out = p;
    return TL_OK;
}

void tl_worker_port_close(struct tl_worker_port *p)
{
    if (p) {
        ssize_t n = write(p->stop[1], "", 1);
        (void)n; /* an empty pipe takes one byte */
        pthread_join(p->thread, NULL);
        unlink(p->address.sun_path);
        free_port(p);
    }
}

/* --- the asking side --------------------------------------------------------------------------- */

static int connect_to(const char *where, pid_t pid, struct tl_error *err)
{
    struct sockaddr_un a;
    if (socket_address(where, pid, &a, err) != TL_OK) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        fd = -1;
    }
    if (fd < 0) {
        tl_error_set(err, TL_ENOTFOUND, "no worker of yours runs as process %ld", (long)pid);
    }
    return fd;
}

/* Sockets that nobody answers are left over from processes that were killed. */
static tl_rc the_only_one(const char *where, int *fd, struct tl_error *err)
{
    char list[512] = "";
    int count = 0;
    DIR *dir = opendir(where);
    for (struct dirent *e; dir && count < PIDS_MAX && (e = readdir(dir)) != NULL;) {
        long pid;
        int end = 0;
        if (sscanf(e->d_name, "worker-%ld.sock%n", &pid, &end) != 1 || end == 0) {
            continue;
        }
        int other = connect_to(where, (pid_t)pid, err);
        if (other < 0) {
            continue;
        }
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%ld", count ? ", " : "", pid);
        if (count++ == 0) {
            *fd = other;
        } else {
            close(other);
        }
    }
    if (dir) {
        closedir(dir);
    }
    if (count == 1) {
        return TL_OK;
    }
    if (count == 0) {
        return tl_error_set(err, TL_ENOTFOUND, "no worker of yours is running");
    }
    close(*fd);
    return tl_error_set(err, TL_EINVAL, "several workers are running: say which with --pid: %s",
                        list);
}

static tl_rc read_answer(int fd, bool *good, struct tl_buf *answer, struct tl_error *err)
{
    char block[4096];
    ssize_t n;
    while ((n = recv(fd, block, sizeof block, 0)) > 0) {
        if (!tl_buf_put(answer, block, (size_t)n)) {
            return tl_error_set(err, TL_ELIMIT, "the answer is too long");
        }
    }
    const char *end = answer->n ? memchr(answer->p, '\n', answer->n) : NULL;
    if (!end) {
        return tl_error_set(err, TL_EIO, "the worker ended before it answered");
    }
    *good = strncmp(answer->p, "ok\n", 3) == 0;
    return TL_OK;
}

tl_rc tl_worker_port_ask(pid_t pid, const char *command, bool *good, struct tl_buf *answer,
                         struct tl_error *err)
{
    char where[sizeof((struct sockaddr_un *)0)->sun_path * 2];
    int fd = -1;
    tl_rc rc = folder(where, sizeof where, false, err);
    if (rc == TL_OK && pid == 0) {
        rc = the_only_one(where, &fd, err);
    } else if (rc == TL_OK) {
        fd = connect_to(where, pid, err);
        rc = fd < 0 ? TL_ENOTFOUND : TL_OK;
    }
    if (rc == TL_OK) {
        send_all(fd, command, strlen(command));
        send_all(fd, "\n", 1);
        rc = read_answer(fd, good, answer, err);
        close(fd);
    }
    return rc;
}
