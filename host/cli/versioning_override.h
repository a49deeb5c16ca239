/* --versioning-override-*: which version a workflow is on, whatever its own behavior says. Shared by
 * `workflow update-options` and `workflow reset with-workflow-update-options`. Thread: main. */
#pragma once

#include "cli/connect.h"

/* A change of a workflow's options; points into itself. */
struct tl_cli_override {
    TpWorkflow__WorkflowExecutionOptions options;
    TpWorkflow__VersioningOverride over;
    TpWorkflow__VersioningOverride__PinnedOverride pinned;
    TpWorkflow__VersioningOverride__OneTimeOverride one_time;
    TpDeployment__WorkerDeploymentVersion version;
    Google__Protobuf__FieldMask mask;
    char *path;
};

/* The change as the command line has it; texts are borrowed from argv or the arena's. Returns 0, or an
 * exit code after the error was printed. */
int tl_cli_read_override(struct tl_cli_session *s, struct tl_cli_override *o);
