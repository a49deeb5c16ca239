/* See versioning_override.h. */
#include "cli/versioning_override.h"

#include <string.h>

int tl_cli_read_override(struct tl_cli_session *s, struct tl_cli_override *o)
{
    const char *behavior = tl_cli_text(s->cli, "versioning-override-behavior");
    const char *name = tl_cli_field(s, "versioning-override-deployment-name");
    const char *build_id = tl_cli_field(s, "versioning-override-build-id");
    bool once = strcmp(behavior, "one_time") == 0;
    bool named = once || strcmp(behavior, "pinned") == 0;
    if (named && (!*name || !*build_id)) {
        return tl_cli_fail(1, "missing deployment name and/or build id with '%s' behavior",
                           behavior);
    }
    if (!named && (*name || *build_id)) {
        return tl_cli_fail(1, "cannot set deployment name or build id with %s behavior", behavior);
    }
    *o = (struct tl_cli_override){.options = TP_WORKFLOW__WORKFLOW_EXECUTION_OPTIONS__INIT,
                                  .over = TP_WORKFLOW__VERSIONING_OVERRIDE__INIT,
                                  .pinned = TP_WORKFLOW__VERSIONING_OVERRIDE__PINNED_OVERRIDE__INIT,
                                  .one_time =
                                      TP_WORKFLOW__VERSIONING_OVERRIDE__ONE_TIME_OVERRIDE__INIT,
                                  .version = TP_DEPLOYMENT__WORKER_DEPLOYMENT_VERSION__INIT,
                                  .mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT,
                                  .path = (char *)(uintptr_t) "versioning_override"};
    o->mask.n_paths = 1;
    o->mask.paths = &o->path;
    if (strcmp(behavior, "unspecified") == 0) { /* the override goes */
        return 0;
    }
    o->options.versioning_override = &o->over;
    o->version.deployment_name = (char *)(uintptr_t)name;
    o->version.build_id = (char *)(uintptr_t)build_id;
    if (!named) {
        o->over.override_case = TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_AUTO_UPGRADE;
        o->over.auto_upgrade = true;
        return 0;
    }
    if (once) {
        o->over.override_case = TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_ONE_TIME;
        o->over.one_time = &o->one_time;
        o->one_time.target_deployment_version = &o->version;
        return 0;
    }
    o->over.override_case = TP_WORKFLOW__VERSIONING_OVERRIDE__OVERRIDE_PINNED;
    o->over.pinned = &o->pinned;
    o->pinned.behavior = (TpWorkflow__VersioningOverride__PinnedOverrideBehavior)
        TP_WORKFLOW__VERSIONING_OVERRIDE__PINNED_OVERRIDE_BEHAVIOR__PINNED_OVERRIDE_BEHAVIOR_PINNED;
    o->pinned.version = &o->version;
    return 0;
}
