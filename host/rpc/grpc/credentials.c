/* See credentials.h. */
#include "rpc/grpc/credentials.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "rpc/grpc/common.h"

#define SYSTEM_AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

static void free_text(const char *text)
{
    tl_mem_free((char *)(uintptr_t)text);
}

/* --- channel ------------------------------------------------------------------------------------- */

/* Owns: *out; NULL when the PEM was not given. */
static tl_rc load(const char *what, const struct tl_grpc_pem *pem, char **out, struct tl_error *err)
{
    *out = NULL;
    if (pem->text && pem->path) {
        return tl_error_set(err, TL_EINVAL, "give %s as PEM text or as a file, not both", what);
    }
    if (pem->path) {
        return tl_grpc_read_pem(what, pem->path, out, err);
    }
    if (pem->text && !strstr(pem->text, "-----BEGIN ")) {
        return tl_error_set(err, TL_EINVAL, "%s is not in PEM form (a file is named by %s_path)",
                            what, what);
    }
    *out = pem->text ? tl_mem_dup(tl_str(pem->text)) : NULL;
    return TL_OK;
}

static tl_rc load_pair(const struct tl_grpc_channel_options *o, grpc_ssl_pem_key_cert_pair *pair,
                       struct tl_error *err)
{
    char *cert, *key = NULL;
    tl_rc rc = load("client_cert", &o->client_cert, &cert, err);
    if (rc == TL_OK) {
        rc = load("client_private_key", &o->client_private_key, &key, err);
    }
    if (rc == TL_OK && !cert != !key) {
        rc = tl_error_set(err, TL_EINVAL,
                          "client_cert and client_private_key go together: %s is "
                          "missing",
                          cert ? "client_private_key" : "client_cert");
    }
    *pair = (grpc_ssl_pem_key_cert_pair){.private_key = key, .cert_chain = cert};
    return rc;
}

/* Any certificate is good: only these experimental credentials of the library can do that. */
static grpc_channel_credentials *unverified(const grpc_ssl_pem_key_cert_pair *pair)
{
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_certificate_verifier *verifier = grpc_tls_certificate_verifier_no_op_create();
    if (pair->cert_chain) {
        grpc_tls_identity_pairs *pairs = grpc_tls_identity_pairs_create();
        grpc_tls_identity_pairs_add_pair(pairs, pair->private_key, pair->cert_chain);
        grpc_tls_certificate_provider *provider =
            grpc_tls_certificate_provider_static_data_create(NULL, pairs);
        grpc_tls_credentials_options_set_certificate_provider(options, provider);
        grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
        grpc_tls_certificate_provider_release(provider);
    }
    grpc_tls_credentials_options_set_verify_server_cert(options, 0);
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    grpc_tls_credentials_options_set_certificate_verifier(options, verifier);
    grpc_tls_certificate_verifier_release(verifier);
    return grpc_tls_credentials_create(options);
}

tl_rc tl_grpc_channel_credentials(const struct tl_grpc_channel_options *o,
                                  grpc_channel_credentials **out, struct tl_error *err)
{
    grpc_ssl_pem_key_cert_pair pair = {0};
    struct tl_grpc_pem authorities = o->server_root_ca_cert;
    char *ca = NULL;
    *out = NULL;
    if (!o->tls) {
        *out = grpc_insecure_credentials_create();
        return TL_OK;
    }
    if (!authorities.text && !authorities.path && access(SYSTEM_AUTHORITIES, R_OK) == 0) {
        authorities.path = SYSTEM_AUTHORITIES;
    }
    tl_rc rc = load("server_root_ca_cert", &authorities, &ca, err);
    if (rc == TL_OK) {
        rc = load_pair(o, &pair, err);
    }
    if (rc == TL_OK) {
        *out = o->disable_host_verification
                   ? unverified(&pair)
                   : grpc_ssl_credentials_create_ex(ca, pair.cert_chain ? &pair : NULL, NULL, NULL);
        rc = *out ? TL_OK : tl_error_set(err, TL_EINVAL, "the certificates are not usable");
    }
    free_text(ca);
    free_text(pair.cert_chain);
    free_text(pair.private_key);
    return rc;
}

/* --- server -------------------------------------------------------------------------------------- */

struct tl_grpc_cert_files {
    pthread_mutex_t mutex; /* connections are made on several threads of the library */
    char *cert_path, *key_path, *client_ca_path; /* the last may be NULL */
    struct stat seen[3];
    bool loaded;
    struct tl_grpc_cert_files *next;
};

static void free_files(struct tl_grpc_cert_files *f)
{
    pthread_mutex_destroy(&f->mutex);
    tl_mem_free(f->cert_path);
    tl_mem_free(f->key_path);
    tl_mem_free(f->client_ca_path);
    tl_mem_free(f);
}

void tl_grpc_cert_files_free(struct tl_grpc_cert_files *files)
{
    while (files) {
        struct tl_grpc_cert_files *next = files->next;
        free_files(files);
        files = next;
    }
}

/* Whether one of them is another file than at the last look, which this is from now on. */
static bool have_changed(struct tl_grpc_cert_files *f)
{
    const char *paths[] = {f->cert_path, f->key_path, f->client_ca_path};
    bool changed = false;
    for (int i = 0; i < 3; i++) {
        struct stat now;
        memset(&now, 0, sizeof now);
        if (paths[i] && stat(paths[i], &now) != 0) {
            memset(&now, 0, sizeof now);
        }
        changed = changed || !tl_grpc_same_file(&now, &f->seen[i]);
        f->seen[i] = now;
    }
    return changed;
}

static tl_rc read_config(const struct tl_grpc_cert_files *f,
                         grpc_ssl_server_certificate_config **out, struct tl_error *err)
{
    char *cert = NULL, *key = NULL, *ca = NULL;
    tl_rc rc = tl_grpc_read_pem("server certificate", f->cert_path, &cert, err);
    if (rc == TL_OK) {
        rc = tl_grpc_read_pem("server key", f->key_path, &key, err);
    }
    if (rc == TL_OK && f->client_ca_path) {
        rc = tl_grpc_read_pem("client authorities", f->client_ca_path, &ca, err);
    }
    if (rc == TL_OK) {
        grpc_ssl_pem_key_cert_pair pair = {key, cert};
        /* The library asserts that there are authorities, also where no client is asked for a
         * certificate; any certificate will do then. */
        *out = grpc_ssl_server_certificate_config_create(ca ? ca : cert, &pair, 1);
    }
    tl_mem_free(cert);
    tl_mem_free(key);
    tl_mem_free(ca);
    return rc;
}

/* The library asks for each connection. Files that cannot be used leave the last good ones: a
 * certificate is renewed in two steps, and connections may come between them. */
static grpc_ssl_certificate_config_reload_status fetch(void *ud,
                                                       grpc_ssl_server_certificate_config **config)
{
    struct tl_grpc_cert_files *f = ud;
    struct tl_error err;
    grpc_ssl_certificate_config_reload_status status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    pthread_mutex_lock(&f->mutex);
    if (have_changed(f)) {
        if (read_config(f, config, &err) == TL_OK) {
            status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
            if (f->loaded) {
                TL_LOG(TL_LOG_INFO, "grpc.certificates_read_again", TL_C("file", f->cert_path));
            }
            f->loaded = true;
        } else {
            status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
            TL_LOG(TL_LOG_WARN, "grpc.certificates_kept", TL_C("error", err.message));
        }
    }
    pthread_mutex_unlock(&f->mutex);
    return status;
}

static char *copy(const char *text)
{
    return text ? tl_mem_dup(tl_str(text)) : NULL;
}

tl_rc tl_grpc_server_credentials(const struct tl_grpc_server_options *o,
                                 grpc_server_credentials **out, struct tl_grpc_cert_files **files,
                                 struct tl_error *err)
{
    grpc_ssl_server_certificate_config *config = NULL;
    *out = NULL;
    if (!o->cert_path != !o->key_path || (o->client_ca_path && !o->cert_path)) {
        return tl_error_set(err, TL_EINVAL,
                            "TLS wants the server's certificate and key, and a client authority "
                            "only beside them");
    }
    if (!o->cert_path) {
        *out = grpc_insecure_server_credentials_create();
        return TL_OK;
    }
    struct tl_grpc_cert_files *f = TL_NEW(struct tl_grpc_cert_files);
    pthread_mutex_init(&f->mutex, NULL);
    f->cert_path = copy(o->cert_path);
    f->key_path = copy(o->key_path);
    f->client_ca_path = copy(o->client_ca_path);
    tl_rc rc = read_config(f, &config, err); /* what is wrong now is told now */
    if (rc == TL_OK) {
        grpc_ssl_server_certificate_config_destroy(config);
        *out = grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                o->client_ca_path ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                  : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
                fetch, f));
        if (!*out) {
            rc = tl_error_set(err, TL_EINVAL, "the server's certificate and key are not usable");
        }
    }
    if (rc != TL_OK) {
        free_files(f);
        return rc;
    }
    f->next = *files;
    *files = f;
    return TL_OK;
}

/* --- hints --------------------------------------------------------------------------------------- */

static bool contains(struct tl_str text, const char *part)
{
    return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

const char *tl_grpc_connect_hint(struct tl_str message, bool tls)
{
    static const struct {
        const char *part, *hint;
        bool tls;
    } rows[] = {
        {"CERTIFICATE_VERIFY_FAILED",
         "the server's certificate has expired, is not yet valid, or is not signed by "
         "server_root_ca_cert",
         true},
        {"certificate verify failed",
         "the server's certificate has expired, is not yet valid, or is not signed by "
         "server_root_ca_cert",
         true},
        {"is not in peer certificate",
         "the server's certificate is for another name: set domain (tls_server_name) to one of its "
         "names",
         true},
        {"WRONG_VERSION_NUMBER", "the server does not talk TLS: set tls to false", true},
        {"wrong version number", "the server does not talk TLS: set tls to false", true},
        {"empty address list", /* what is left of a channel whose certificates were refused */
         "client_private_key does not fit client_cert, or one of the certificates cannot be read: "
         "each is PEM, and the two are not swapped",
         true},
        {"CERTIFICATE_REQUIRED", "the server wants client_cert and client_private_key", true},
        {"certificate required", "the server wants client_cert and client_private_key", true},
        {"UNKNOWN_CA", "the server does not know who signed client_cert", true},
        {"unknown ca", "the server does not know who signed client_cert", true},
        {"Socket closed",
         "the server closed the connection: it may want client_cert and client_private_key, not "
         "know "
         "who signed them, or find that the certificate has expired",
         true},
        {"Socket closed", "the server closed the connection: it may talk TLS only", false},
        {"Connection reset by peer", "the server closed the connection: it may talk TLS only",
         false},
        {"Connection refused", "nothing listens there", false},
        {"Connection refused", "nothing listens there", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].tls == tls && contains(message, rows[i].part)) {
            return rows[i].hint;
        }
    }
    return NULL;
}
