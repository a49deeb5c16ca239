/* Opening and closing what the benchmark measures; printing of figures. */
#include <stdio.h>
#include <unistd.h>

#include "cli/bench.h"

const char tl_bench_workflows[] =
    "local workflow = require 'temporal.workflow'\n"
    "local options = { start_to_close_timeout = 10 }\n"
    "return {\n"
    "  workflow.define('noop', function() return 1 end),\n"
    "  workflow.define('one', function()\n"
    "    return workflow.execute_activity('noop', options, 1)\n"
    "  end),\n"
    "  workflow.define('three', function()\n"
    "    for i = 1, 3 do workflow.execute_activity('noop', options, i) end\n"
    "    return 3\n"
    "  end),\n"
    "  workflow.define('ten', function()\n"
    "    for i = 1, 10 do workflow.execute_activity('noop', options, i) end\n"
    "    return 10\n"
    "  end),\n"
    "  workflow.define('waits', function()\n"
    "    local n = 0\n"
    "    workflow.set_signal_handler('add', function() n = n + 1 end)\n"
    "    workflow.set_query_handler('count', function() return n end)\n"
    "    workflow.wait_condition(function() return false end)\n"
    "  end),\n"
    "  workflow.define('many', function(n)\n"
    "    local sum = 0\n"
    "    for i = 1, n do sum = sum + workflow.execute_activity('noop', options, i) end\n"
    "    return sum\n"
    "  end),\n"
    "  workflow.define('calls', function(name, n)\n"
    "    for i = 1, n do workflow.execute_activity(name, options) end\n"
    "  end),\n"
    "}\n";

static void noop_activity(void *thread_state, void *ud, struct tl_activity *a)
{
    (void)thread_state;
    (void)ud;
    tl_activity_complete(a, a->task->input);
}

void tl_bench_figure(const struct tl_bench *b, const char *name, double value, const char *unit)
{
    if (b->json) {
        printf("{\"name\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"}\n", name, value, unit);
    } else {
        printf("%-34s %12.6g %s\n", name, value, unit);
    }
    fflush(stdout);
}

int64_t tl_bench_resident_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f) {
        if (fscanf(f, "%ld %ld", &pages, &resident) != 2) {
            resident = 0;
        }
        fclose(f);
    }
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

tl_rc tl_bench_open_worker(struct tl_bench *b, struct tl_client *client, struct tl_error *err)
{
    struct tl_worker_config config = {.client = client};
    struct tl_activity_impl impl = {noop_activity, NULL};
    tl_rc rc = tl_bench_bundle(&b->bundle, err);
    if (rc != TL_OK) {
        return rc;
    }
    b->lang = tl_worker_lua_lang_new(b->bundle);
    if (!b->registry) {
        b->registry = tl_registry_new();
        rc = tl_registry_add(b->registry, TL_STR_LIT("noop"), &impl, err);
    }
    tl_worker_options_init(&config.options);
    config.options.task_queue = TL_STR_LIT("bench");
    config.options.disable_eager_activity_execution = b->no_eager;
    config.lang = b->lang;
    config.registry = b->registry;
    if (rc == TL_OK) {
        rc = tl_worker_new(&b->worker, &config, err);
    }
    return rc == TL_OK ? tl_worker_start(b->worker, err) : rc;
}

tl_rc tl_bench_open(struct tl_bench *b, const char *db, struct tl_error *err)
{
    tl_rc rc = b->address ? tl_cli_remote_open(&b->server, b->cli, b->address, "default", err)
                          : tl_cli_server_open(&b->server, db, "default", false, err);
    return rc == TL_OK && !b->task_queue ? tl_bench_open_worker(b, b->server.client, err) : rc;
}

void tl_bench_close_worker(struct tl_bench *b)
{
    tl_worker_free(b->worker);
    tl_worker_lua_lang_free(b->lang);
    tl_bundle_close(b->bundle);
    tl_registry_free(b->registry);
    b->worker = NULL;
    b->lang = NULL;
    b->bundle = NULL;
    b->registry = NULL;
}

void tl_bench_close(struct tl_bench *b)
{
    tl_bench_close_worker(b);
    tl_cli_server_close(&b->server);
}
