/* Nexus operations in C: the part of tlua_host_api about them. Private to worker/ but for the first.
 * Thread: as the public header says. */
#pragma once

#include "include/temporal_lua.h"
#include "worker/operation.h"

/* Adds one operation of a service; the handler is copied. Errors: TL_EINVAL, TL_EEXISTS. */
tl_rc tl_native_add_operation(struct tl_registry *r, struct tl_str service, struct tl_str operation,
                              const tlua_operation_handler *handler,
                              struct tl_error *err) TL_MUST_USE;
/* The members of the table that take a tlua_operation. */
const tlua_operation_info *tl_native_op_info(tlua_operation *x);
int tl_native_op_input(tlua_operation *x, tlua_payload *out);
int tl_native_op_header(tlua_operation *x, size_t index, tlua_bytes *name, tlua_bytes *value);
int tl_native_op_callback_header(tlua_operation *x, size_t index, tlua_bytes *name,
                                 tlua_bytes *value);
int tl_native_op_link(tlua_operation *x, size_t index, tlua_bytes *url, tlua_bytes *type);
int tl_native_op_put(tlua_operation *x, int target, const char *encoding, const void *data,
                     size_t size);
int tl_native_op_started(tlua_operation *x, const char *token);
int tl_native_op_start_workflow(tlua_operation *x, const tlua_operation_workflow *workflow,
                                char run_id[64], tlua_error *err);
int tl_native_op_fail(tlua_operation *x, const tlua_operation_failure *f);
int tl_native_op_refuse(tlua_operation *x, const tlua_operation_refusal *r);
int tl_native_op_add_link(tlua_operation *x, const char *url, const char *type);
unsigned tl_native_op_cancelled(tlua_operation *x);
unsigned tl_native_op_wait_cancelled(tlua_operation *x, int64_t timeout_ms);
bool tl_native_op_wait_worker_shutdown(tlua_operation *x, int64_t timeout_ms);
void tl_native_op_log(tlua_operation *x, int level, const char *message);
int tl_native_op_record_metric(tlua_operation *x, const tlua_metric *metric, double value,
                               const tlua_attribute *attributes, size_t count);

/* native_op_start.c: starts the workflow behind the operation; *token is in the request's arena.
 * Errors: those of tl_client_call; TL_EINVAL. */
tl_rc tl_native_start_workflow(struct tl_operation *o, const tlua_operation_workflow *workflow,
                               char run_id[64], const char **token,
                               struct tl_error *err) TL_MUST_USE;
/* Asks for the cancellation of the workflow that the token names. Errors: those of tl_client_call;
 * TL_ENOTFOUND (it names none). */
tl_rc tl_native_cancel_workflow(struct tl_operation *o, const char *token,
                                struct tl_error *err) TL_MUST_USE;
