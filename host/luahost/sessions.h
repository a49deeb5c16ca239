/* The sessions that workers of this process have: which there are, and that one is to end. The activity that holds
 * a session, a coroutine of one worker, and the one that ends it, of another worker, meet here.
 * Thread: any. A session belongs to the task that holds it and ends with it. */
#pragma once

#include "luahost/lua_loop.h"

struct tl_session;

/* How many sessions the worker takes that has this task queue for itself; 0: it is not there any more. */
void tl_session_room(struct tl_str task_queue, size_t max);
/* Takes one of the worker's sessions; NULL: all are taken. Owns: the task, which calls tl_session_leave when it
 * ends, whatever ended it. */
struct tl_session *tl_session_enter(struct tl_str id, struct tl_str task_queue,
                                    struct tl_lua_task *task);
void tl_session_leave(struct tl_session *s); /* NULL is fine */
/* Whether tl_session_complete was called for it. */
bool tl_session_is_complete(struct tl_session *s);
/* Wakes the task that holds the session; false: no worker of this process has it. */
bool tl_session_complete(struct tl_str id);
