/* What the methods of worker deployments share. Thread: engine. */
#pragma once

#include "server/api/api.h"
#include "server/deployments.h"

/* The deployment of that name; answers and returns NULL when there is none. */
struct tl_deployment *tl_api_deployment(struct tl_call *c, const char *name);
/* False after an answer: somebody else manages it. */
bool tl_api_check_manager(struct tl_call *c, const struct tl_deployment *dep, const char *identity);
/* Stores a change of a client that routes nothing elsewhere. False after an answer. */
bool tl_api_deployment_store(struct tl_call *c, struct tl_deployment *dep, const char *identity);
/* The same for one that may: what waits in queues, all of it, is offered again. */
bool tl_api_deployment_save(struct tl_call *c, struct tl_deployment *dep, const char *identity);
