/* What the commands on worker deployments and on their versions share. */
#pragma once

#include "cli/connect.h"

/* As their columns and JSON have it: "2026-11-21T04:15:26.5Z", the year 1 for none. In the arena. */
const char *tl_cli_deployment_time(struct tl_arena *arena, const Google__Protobuf__Timestamp *t);
/* "draining"; "unspecified" for none. */
const char *tl_cli_drainage(int status);
/* "12.5". In the arena. */
const char *tl_cli_percentage(struct tl_arena *arena, float v);
/* A member of a JSON object. */
void tl_cli_member(struct tl_jw *w, const char *name, const char *text);
void tl_cli_member_percentage(struct tl_jw *w, const char *name, float v);
/* --deployment-name and --build-id. Borrowed from argv. */
TpDeployment__WorkerDeploymentVersion tl_cli_deployment_version(struct tl_cli_session *s);
