/* What a stock Lua state of ours carries: the inbox through which other threads ask it to run
 * something (activities given as functions), the activity it is running, its place in the registry.
 *
 * Invariants: only the thread that owns the Lua state touches it; other threads post to the inbox and
 * wait. A state serves its inbox while it is inside a blocking temporal call (a client call, waiting
 * for a worker) and at no other time.
 * Ownership: the host belongs to its Lua state (userdata in the registry) and dies with it. */
#pragma once

#include <lua.h>
#include <stdatomic.h>

#include "base/inbox.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "client/client.h"
#include "worker/activity.h"
#include "worker/operation.h"

struct tl_lua_task;

struct tl_host {
    lua_State *L;          /* main thread of the state */
    struct tl_inbox inbox; /* of struct tl_host_job and the wake message */
    struct tl_msg wake;    /* posted at most once at a time */
    atomic_bool wake_posted;
    struct tl_activity *current;    /* the activity this state runs now, or NULL */
    struct tl_operation *operation; /* the Nexus request that this state answers now, or NULL */
    int shields;                    /* of `current`: while > 0 its calls raise no cancellation */
    const void *current_data;       /* registry key of its payload converters */
    struct tl_lua_task *task; /* of a coroutine activity that runs now; else NULL (lua_loop.h) */
    pthread_mutex_t workers_mutex;
    struct tl_list workers; /* started workers of this state; guarded */
    bool stopping;          /* all were told to shut down: later ones are too; guarded */
    int64_t alarm_ns;       /* CLOCK_MONOTONIC: when core.set_alarm's function is due; 0: never */
    atomic_int abandon;     /* watched workers that have failed: blocking calls give up */
};

/* A request to run something on the state's thread. The sender owns it and waits for `done`. */
struct tl_host_job {
    struct tl_msg msg;
    void (*run)(struct tl_host *h, struct tl_host_job *job);
    void (*drop)(struct tl_host_job *job); /* instead, when the state closes; may be NULL */
};

/* [-0, +0, m] The host of a state; made at first use. */
struct tl_host *tl_host_get(lua_State *L);
/* Serves one message or waits for one until the deadline (CLOCK_MONOTONIC) or the alarm. Thread: the state's. */
void tl_host_serve(struct tl_host *h, int64_t deadline_mono_ns);
/* Runs core.set_alarm's function when it is due. Thread: the state's. */
void tl_host_look_at_alarm(struct tl_host *h);
/* Makes tl_host_serve return. Thread: any. */
void tl_host_wake(struct tl_host *h);
/* Runs fn(h, ud) on the state's thread and waits for its end. False when the state is closing: it was not
 * run. Thread: any but the state's. */
bool tl_host_run(struct tl_host *h, void (*fn)(struct tl_host *h, void *ud), void *ud);
/* Shuts all workers of the state down with their own grace, also those that start later; returns at
 * once, false when there was none yet. Thread: any. */
bool tl_host_shutdown_workers(struct tl_host *h);
/* Asks what core.on_request was given to do something and then calls done (may be NULL) with how it
 * went (the worker may have ended instead); both on the state's thread, while it waits. False: the
 * state is closing, done is not called. Thread: any. */
bool tl_host_request(struct tl_host *h, const char *command,
                     void (*done)(void *ud, bool ok, const char *answer), void *ud);
/* The pump a client uses while it waits on this state's thread. */
struct tl_client_pump tl_host_pump(struct tl_host *h);

/* A new stock state with the standard libraries and the temporal modules; package paths as given
 * (NULL: the defaults). NULL when out of memory. Owns: the caller, lua_close. */
lua_State *tl_host_state_new(const char *path, const char *cpath);
/* The same for code that shares its process with a worker: os.exit raises, since it would end everybody. */
lua_State *tl_host_guest_state_new(const char *path, const char *cpath);

/* [-0, +1, v] Loads the payload converters that the modules of the list at `names` return; nil when there
 * are none. */
void tl_host_push_converters(lua_State *L, int names);
/* [-1, +1, m] An object whose methods convert with the payload converters on top (nil: none). */
void tl_host_push_data(lua_State *L);
/* [-0, +0, -] What this state converts next belongs to the running activity or Nexus request. */
void tl_host_use_activity_data(lua_State *L);

/* [-0, +n, v] Arguments of a log function (level, message, fields): fields is ignored when it is no table;
 * what is written of it stays on the stack. Raises for another level. */
#define TL_HOST_LOG_FIELDS_MAX 64
enum tl_log_level tl_host_read_log_line(lua_State *L, struct tl_str *message,
                                        struct tl_log_field own[TL_HOST_LOG_FIELDS_MAX + 1]);

/* --- the parts of temporal.core; each adds its functions to the table on top ------------------ */

void tl_core_data(lua_State *L);   /* [-0, +0, m] payloads, failures, messages, small tools */
void tl_core_client(lua_State *L); /* [-0, +0, m] embedded server, connection, calls */
void tl_core_worker(lua_State *L); /* [-0, +0, m] workers */
void tl_core_worker_options(lua_State *L); /* [-0, +0, m] their options */
void tl_core_activity(lua_State *L);       /* [-0, +0, m] the running activity */
void tl_core_operation(lua_State *L);      /* [-0, +0, m] the Nexus request that is answered */
void tl_core_net(lua_State *L);            /* [-0, +0, m] what coroutine activities wait for */
void tl_core_profile(lua_State *L);        /* [-0, +0, m] settings from files and the environment */
void tl_core_testing(lua_State *L);        /* [-0, +0, m] time skipping */
void tl_core_replay(lua_State *L);         /* [-0, +0, m] histories, replay */
void tl_core_session(lua_State *L);        /* [-0, +0, m] sessions of activities */
void tl_core_codec_server(lua_State *L);   /* [-0, +0, m] payload codecs served over HTTP */
void tl_core_runtime(lua_State *L);        /* [-0, +0, m] metrics and health of this process */

/* [-0, +1, m] The C module `temporal.core`; the one symbol that core.so shows. */
__attribute__((visibility("default"))) int luaopen_temporal_core(lua_State *L);

/* --- shared by the parts ---------------------------------------------------------------------- */

/* A connection userdata at `index`; raises when it is closed or something else. */
struct tl_host_connection {
    struct tl_host_server *server; /* retained; NULL: a server elsewhere */
    struct tl_channel *transport;
    struct tl_channel *channel; /* with payload codecs; the transport itself without */
    bool borrowed;              /* the channel is somebody else's, without transport and server */
    struct tl_metrics *metrics; /* of the client; retained; NULL: none */
    struct tl_client *client;
};
struct tl_host_connection *tl_host_check_connection(lua_State *L, int index);
/* [-0, +1, m] A connection over somebody else's open channel, which must outlive it. */
void tl_host_push_connection(lua_State *L, const struct tl_client *client);
/* [-0, +4, m] The same for a client of code that the worker runs: connection, namespace, identity, and the payload
 * converters as core.data gives them. */
void tl_host_push_client(lua_State *L, const struct tl_client *client);

/* The registry of the runtime userdata at `index`, NULL for nil. */
struct tl_metrics *tl_host_opt_metrics(lua_State *L, int index);
/* NULL, or what is wrong with the workers of this state: one has failed; or one does not take tasks (yet, or
 * any more), or none has started. Thread: any. */
const char *tl_host_not_well(struct tl_host *h);
const char *tl_host_not_ready(struct tl_host *h);

/* The embedded server behind a connection; closed when its last user lets go. */
struct tl_host_server {
    struct tl_server *server;
    int holds;
};
struct tl_host_server *tl_host_check_server(lua_State *L, int index);
void tl_host_server_release(struct tl_host_server *s);
