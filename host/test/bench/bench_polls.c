/* Memory of parked polls: a server in a child process, and polls from here over a few connections.
 * usage: bench_polls [POLLS [CONNECTIONS]]; prints the child's resident bytes before and with them, and
 * what one poll costs. */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "proto/pb.h"
#include "rpc/grpc.h"
#include "server/server.h"
#include "temporal/api/taskqueue/v1/message.pb-c.h"
#include "temporal/api/workflowservice/v1/request_response.pb-c.h"

#define CONNECTIONS_MAX 64
#define QUEUES 100

/* --- the server's process ------------------------------------------------------------------------ */

static int serve(int port_fd, int control_fd)
{
    struct tl_server_options so;
    struct tl_grpc_server_options o = {.ip = "127.0.0.1"};
    struct tl_server *server = NULL;
    struct tl_grpc_server *port = NULL;
    struct tl_error err = {0};
    char byte;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    tl_server_options_default(&so);
    if (tl_server_open(&server, &so, &err) != TL_OK || tl_server_start(server, &err) != TL_OK ||
        tl_grpc_server_open(&port, &o, tl_server_service(server), &err) != TL_OK) {
        fprintf(stderr, "bench_polls: %s\n", err.message);
        return 1;
    }
    int n = tl_grpc_server_port(port);
    if (write(port_fd, &n, sizeof n) != sizeof n) {
        return 1;
    }
    while (read(control_fd, &byte, 1) > 0) {
    }
    return 0;
}

static double resident_mb(pid_t pid)
{
    char path[64];
    long total = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%ld %ld", &total, &resident) != 2) {
        resident = 0;
    }
    if (f) {
        fclose(f);
    }
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* --- the polls ----------------------------------------------------------------------------------- */

static atomic_int ended[17];

static void done(void *ud, struct tl_rpc_result *res)
{
    (void)ud;
    atomic_fetch_add(&ended[res->status >= 0 && res->status < 17 ? res->status : 2], 1);
    tl_rpc_result_free(res);
}

static struct tl_rpc_call *poll(struct tl_channel *ch, int i)
{
    TpWs__PollWorkflowTaskQueueRequest req = TP_WS__POLL_WORKFLOW_TASK_QUEUE_REQUEST__INIT;
    TpTq__TaskQueue queue = TP_TQ__TASK_QUEUE__INIT;
    char name[32], ns[] = "default", identity[] = "12345@worker-host.example";
    struct tl_buf b;
    snprintf(name, sizeof name, "queue-%d", i % QUEUES);
    queue.name = name;
    req.namespace_ = ns;
    req.identity = identity;
    req.task_queue = &queue;
    tl_buf_init(&b, 65536);
    if (tl_pb_encode(&req, &b, NULL) != TL_OK) {
        exit(1);
    }
    struct tl_rpc_call *c = tl_channel_call(ch, TL_M_PollWorkflowTaskQueue, tl_buf_str(&b),
                                            70 * TL_NS_PER_S, done, NULL);
    tl_buf_deinit(&b);
    return c;
}

/* Waits until the server's memory has stood still for a second. */
static void settle(pid_t pid)
{
    double last = -1;
    for (int still = 0; still < 10;) {
        double now = resident_mb(pid);
        nanosleep(&(struct timespec){0, 100000000}, NULL);
        still = now > last + 0.2 || now < last - 0.2 ? 0 : still + 1;
        last = now;
    }
}

static void measure(pid_t pid, int port, int polls, int connections)
{
    struct tl_channel *channels[CONNECTIONS_MAX] = {NULL};
    struct tl_rpc_call **calls = TL_NEW_ARRAY(struct tl_rpc_call *, (size_t)polls);
    char address[32];
    struct tl_error err;
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    double empty = resident_mb(pid);
    for (int i = 0; i < connections; i++) {
        struct tl_grpc_channel_options o = {.address = address, .namespace_name = "default"};
        if (tl_grpc_channel_open(&channels[i], &o, &err) != TL_OK) {
            fprintf(stderr, "bench_polls: %s\n", err.message);
            exit(1);
        }
    }
    for (int i = 0; i < polls; i++) {
        calls[i] = poll(channels[i % connections], i);
    }
    settle(pid);
    double full = resident_mb(pid);
    int refused = atomic_load(&ended[8]), parked = polls;
    for (int i = 0; i < 17; i++) {
        parked -= atomic_load(&ended[i]);
    }
    printf("%-24s %10d\n%-24s %10d\n", "polls parked", parked, "polls refused", refused);
    printf("%-24s %10.1f MB\n%-24s %10.1f MB\n", "server before", empty, "server with them", full);
    printf("%-24s %10.0f bytes\n", "one parked poll", (full - empty) * 1e6 / (parked ? parked : 1));
    for (int i = 0; i < polls; i++) {
        tl_rpc_cancel(calls[i]);
        tl_rpc_call_release(calls[i]);
    }
    settle(pid);
    printf("%-24s %10.1f MB\n", "server after", resident_mb(pid));
    for (int i = 0; i < connections; i++) {
        tl_channel_close(channels[i]);
    }
    tl_mem_free(calls);
}

int main(int argc, char **argv)
{
    int polls = argc > 1 ? atoi(argv[1]) : 10000, connections = argc > 2 ? atoi(argv[2]) : 4;
    int port_pipe[2], control[2], port;
    if (polls < 1 || polls > 1000000 || connections < 1 || connections > CONNECTIONS_MAX ||
        pipe(port_pipe) != 0 || pipe(control) != 0) {
        fprintf(stderr, "usage: bench_polls [POLLS [CONNECTIONS up to %d]]\n", CONNECTIONS_MAX);
        return 2;
    }
    pid_t pid = fork(); /* before the library starts */
    if (pid == 0) {
        close(control[1]);
        return serve(port_pipe[1], control[0]);
    }
    close(control[0]);
    close(port_pipe[1]);
    if (pid < 0 || read(port_pipe[0], &port, sizeof port) != sizeof port) {
        return 1;
    }
    measure(pid, port, polls, connections);
    close(control[1]);
    waitpid(pid, NULL, 0);
    return 0;
}
