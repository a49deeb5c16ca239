/* See tls.h. libcurl's build with GnuTLS takes certificates and keys as files only, so a text becomes a
 * file in memory: nothing is written to a disk. */
#include "fetch/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

struct pem_file {
    char *path; /* NULL: not given */
    int fd;     /* of a text; -1: none */
};

struct tl_fetch_tls {
    struct pem_file ca, cert, key;
    char *domain; /* NULL: the address's host */
    bool any_host;
};

/* --- files ------------------------------------------------------------------------------------ */

static bool write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t wrote = write(fd, text, n);
        if (wrote < 0 && errno != EINTR) {
            return false;
        }
        text += wrote > 0 ? wrote : 0;
        n -= wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

static tl_rc keep_text(struct pem_file *out, const char *name, const char *text,
                       struct tl_error *err)
{
    char path[64];
    if (!strstr(text, "-----BEGIN ")) {
        return tl_error_set(err, TL_EINVAL,
                            "%s is no PEM text; the name of a file goes into %s_path", name, name);
    }
    out->fd = memfd_create("pem", MFD_CLOEXEC);
    if (out->fd < 0 || !write_all(out->fd, text, strlen(text))) {
        return tl_error_set(err, TL_EIO, "%s: %s", name, strerror(errno));
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", out->fd);
    out->path = tl_mem_dup(tl_str(path));
    return TL_OK;
}

static tl_rc keep(struct pem_file *out, const char *name, struct tl_fetch_pem pem,
                  struct tl_error *err)
{
    if (pem.text && pem.path) {
        return tl_error_set(err, TL_EINVAL, "%s and %s_path are given; one of them is enough", name,
                            name);
    }
    if (pem.text) {
        return keep_text(out, name, pem.text, err);
    }
    if (pem.path) {
        if (access(pem.path, R_OK) != 0) {
            return tl_error_set(err, TL_EINVAL, "%s_path: %s: %s", name, pem.path, strerror(errno));
        }
        out->path = tl_mem_dup(tl_str(pem.path));
    }
    return TL_OK;
}

static void drop(struct pem_file *file)
{
    tl_mem_free(file->path);
    if (file->fd >= 0) {
        close(file->fd);
    }
}

tl_rc tl_fetch_tls_open(struct tl_fetch_tls **out, const struct tl_fetch_tls_options *o,
                        struct tl_error *err)
{
    struct tl_fetch_tls *t = TL_NEW(struct tl_fetch_tls);
    t->ca.fd = t->cert.fd = t->key.fd = -1;
    t->any_host = o->disable_host_verification;
    t->domain = o->domain ? tl_mem_dup(tl_str(o->domain)) : NULL;
    tl_rc rc = keep(&t->ca, "server_root_ca_cert", o->server_root_ca_cert, err);
    if (rc == TL_OK) {
        rc = keep(&t->cert, "client_cert", o->client_cert, err);
    }
    if (rc == TL_OK) {
        rc = keep(&t->key, "client_private_key", o->client_private_key, err);
    }
    if (rc == TL_OK && !t->cert.path != !t->key.path) {
        rc = tl_error_set(err, TL_EINVAL, "client_cert and client_private_key go together");
    }
    if (rc == TL_OK && t->domain && !*t->domain) {
        rc = tl_error_set(err, TL_EINVAL, "domain is empty");
    }
    if (rc != TL_OK) {
        tl_fetch_tls_close(t);
        t = NULL;
    }
    *out = t;
    return rc;
}

void tl_fetch_tls_close(struct tl_fetch_tls *t)
{
    if (t) {
        drop(&t->ca);
        drop(&t->cert);
        drop(&t->key);
        tl_mem_free(t->domain);
        tl_mem_free(t);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

void tl_tls_apply(const struct tl_fetch_tls *t, const struct tl_curl *c, CURL *handle)
{
    if (!t) {
        return;
    }
    if (t->ca.path) { /* in place of the system's authorities, not beside them */
        c->easy_setopt(handle, CURLOPT_CAINFO, t->ca.path);
        c->easy_setopt(handle, CURLOPT_CAPATH, NULL);
    }
    if (t->cert.path) {
        c->easy_setopt(handle, CURLOPT_SSLCERT, t->cert.path);
        c->easy_setopt(handle, CURLOPT_SSLKEY, t->key.path);
    }
    if (t->any_host) {
        c->easy_setopt(handle, CURLOPT_SSL_VERIFYPEER, 0L);
        c->easy_setopt(handle, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

/* "::host:port": wherever the address leads, connect to the host that it had before. */
static bool keep_place(const struct tl_curl *c, CURLU *u, struct tl_tls_route *out)
{
    char *host = NULL, *port = NULL;
    bool ok = c->url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              c->url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    if (ok) {
        size_t cap = strlen(host) + strlen(port) + 4;
        char *place = tl_mem_alloc(cap);
        snprintf(place, cap, "::%s:%s", host, port);
        out->connect = c->slist_append(NULL, place);
        tl_mem_free(place);
    }
    c->free(host);
    c->free(port);
    return ok && out->connect;
}

tl_rc tl_tls_route(const struct tl_fetch_tls *t, const struct tl_curl *c, const char *url,
                   struct tl_tls_route *out, struct tl_error *err)
{
    *out = (struct tl_tls_route){NULL, NULL};
    if (!t || !t->domain) {
        return TL_OK;
    }
    CURLU *u = c->url();
    if (!u) {
        return tl_error_set(err, TL_EMEMORY, "no memory for an address");
    }
    bool ok = c->url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && keep_place(c, u, out) &&
              c->url_set(u, CURLUPART_HOST, t->domain, 0) == CURLUE_OK &&
              c->url_get(u, CURLUPART_URL, &out->url, 0) == CURLUE_OK;
    c->url_cleanup(u);
    if (!ok) {
        tl_tls_route_free(c, out);
        return tl_error_set(err, TL_EINVAL, "%s cannot be asked for as '%s'", url, t->domain);
    }
    return TL_OK;
}

void tl_tls_route_free(const struct tl_curl *c, struct tl_tls_route *route)
{
    c->free(route->url);
    c->slist_free_all(route->connect);
    *route = (struct tl_tls_route){NULL, NULL};
}
