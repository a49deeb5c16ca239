/* See resource.h. */
#include "worker/resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/world.h"

#define READ_EVERY_NS (100 * TL_NS_PER_MS)
#define FILE_BYTES 8192
#define PATH_BYTES 1024
#define GAIN_P 5.0
#define GAIN_D 1.0
#define MEMORY_THRESHOLD 0.25
#define CPU_THRESHOLD 0.05

/* --- Files ------------------------------------------------------------------------------------- */

/* The beginning of a file as text; false when there is none. */
static bool read_text(const char *root, const char *path, char out[FILE_BYTES])
{
    char full[PATH_BYTES];
    if ((size_t)snprintf(full, sizeof full, "%s%s", root, path) >= sizeof full) {
        return false;
    }
    FILE *f = fopen(full, "re");
    if (!f) {
        return false;
    }
    size_t n = fread(out, 1, FILE_BYTES - 1, f);
    fclose(f);
    out[n] = 0;
    return n > 0;
}

/* The number behind a name at the begin of a line; -1 when there is none. */
static double number_after(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) == 0 && (line[n] == ' ' || line[n] == ':')) {
            return (double)strtoll(line + n + 1, NULL, 10);
        }
    }
    return -1;
}

/* A file of the process's own cgroup. */
static bool read_cgroup(const char *root, const char *name, char out[FILE_BYTES])
{
    char path[PATH_BYTES];
    const char *own = "";
    if (read_text(root, "/proc/self/cgroup", out)) {
        char *line = strstr(out, "0::/");
        if (line) {
            line[strcspn(line, "\n")] = 0;
            own = line + 3;
        }
    }
    if ((size_t)snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", own, name) < sizeof path &&
        read_text(root, path, out)) {
        return true;
    }
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s", name); /* seen from inside a container */
    return read_text(root, path, out);
}

/* Share of the memory in use; false when the system does not tell. */
static bool read_memory(const char *root, double *share)
{
    char text[FILE_BYTES];
    if (!read_text(root, "/proc/meminfo", text)) {
        return false;
    }
    double total = number_after(text, "MemTotal") * 1024;
    double available = number_after(text, "MemAvailable") * 1024;
    if (total <= 0 || available < 0) {
        return false;
    }
    *share = (total - available) / total;
    if (read_cgroup(root, "memory.max", text) && *text >= '0' && *text <= '9') {
        double limit = (double)strtoll(text, NULL, 10);
        if (limit > 0 && limit < total && read_cgroup(root, "memory.current", text)) {
            double used = (double)strtoll(text, NULL, 10);
            double cache = read_cgroup(root, "memory.stat", text)
                               ? number_after(text, "inactive_file")
                               : 0; /* given back before anybody suffers */
            *share = (used - (cache > 0 ? cache : 0)) / limit;
        }
    }
    return true;
}

/* CPU seconds used so far and how many there are per second; false when the system does not tell. */
static bool read_cpu(const char *root, double *busy, double *cores)
{
    char text[FILE_BYTES];
    char *rest;
    if (read_cgroup(root, "cpu.max", text) && *text >= '0' && *text <= '9') {
        double quota = (double)strtoll(text, &rest, 10);
        double period = (double)strtoll(rest, NULL, 10);
        double used = read_cgroup(root, "cpu.stat", text) ? number_after(text, "usage_usec") : -1;
        if (quota > 0 && period > 0 && used >= 0) {
            *busy = used / 1e6;
            *cores = quota / period;
            return true;
        }
    }
    if (!read_text(root, "/proc/stat", text) || strncmp(text, "cpu ", 4) != 0) {
        return false;
    }
    double ticks = 0; /* user nice system idle iowait irq softirq steal */
    rest = text + 4;
    for (int i = 0; i < 8; i++) {
        double n = (double)strtoll(rest, &rest, 10);
        ticks += i == 3 || i == 4 ? 0 : n;
    }
    *busy = ticks / (double)sysconf(_SC_CLK_TCK);
    *cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
    return true;
}

/* --- Control ----------------------------------------------------------------------------------- */

static double control(struct tl_pid *c, double measured)
{
    double change = c->begun ? measured - c->before : 0;
    c->before = measured;
    c->begun = true;
    return (c->target - measured) * GAIN_P - change * GAIN_D;
}

static void look(struct tl_resource *r, int64_t now_ns)
{
    double busy = 0, cores = 1;
    if (r->read_ns && now_ns - r->read_ns < READ_EVERY_NS) {
        return;
    }
    double passed = r->read_ns ? (double)(now_ns - r->read_ns) / (double)TL_NS_PER_S : 0;
    r->unreadable = !read_memory(r->root, &r->memory) || !read_cpu(r->root, &busy, &cores);
    if (r->unreadable) {
        r->read_ns = now_ns;
        return;
    }
    r->cpu = passed > 0 ? (busy - r->busy_before) / passed / cores : 0;
    r->busy_before = busy;
    r->read_ns = now_ns;
    r->memory_output = control(&r->memory_pid, r->memory);
    r->cpu_output = control(&r->cpu_pid, r->cpu);
}

tl_rc tl_resource_init(struct tl_resource *r, const char *root, double target_memory,
                       double target_cpu, struct tl_error *err)
{
    double busy, cores;
    *r = (struct tl_resource){
        .root = root, .memory_pid = {.target = target_memory}, .cpu_pid = {.target = target_cpu}};
    if (!read_memory(root, &r->memory) || !read_cpu(root, &busy, &cores)) {
        return tl_error_set(err, TL_EUNAVAILABLE,
                            "a resource-based tuner needs /proc/meminfo and /proc/stat; use "
                            "temporal.tuner.fixed");
    }
    pthread_mutex_init(&r->mutex, NULL);
    return TL_OK;
}

void tl_resource_deinit(struct tl_resource *r)
{
    pthread_mutex_destroy(&r->mutex);
}

void tl_resource_shares(struct tl_resource *r, int64_t now_mono_ns, double *memory, double *cpu)
{
    pthread_mutex_lock(&r->mutex);
    look(r, now_mono_ns);
    *memory = r->memory;
    *cpu = r->cpu;
    pthread_mutex_unlock(&r->mutex);
}

bool tl_resource_allows(struct tl_resource *r, int64_t now_mono_ns)
{
    pthread_mutex_lock(&r->mutex);
    look(r, now_mono_ns);
    bool allowed =
        !r->unreadable && r->memory_output > MEMORY_THRESHOLD && r->cpu_output > CPU_THRESHOLD;
    pthread_mutex_unlock(&r->mutex);
    return allowed;
}
