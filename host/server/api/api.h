/* The methods of the service. A handler gets a decoded request and either answers it or parks it;
 * which method has which handler stands in table.def. Thread: engine. */
#pragma once

#include "server/engine.h"

struct tl_api_row {
    void (*handle)(struct tl_call *c); /* NULL: not carried out */
    size_t namespace_offset;           /* of the request's namespace; 0: none to be looked up */
    tl_rc refusal; /* without a handler: what is answered; TL_OK: UNIMPLEMENTED */
    const char *refusal_text;
};
/* Never NULL for a valid method. */
const struct tl_api_row *tl_api_row(enum tl_method m);

#define INSPACE(method, handler) void tl_api_##handler(struct tl_call *c);
#define OPERATOR(method, handler) void tl_api_##handler(struct tl_call *c);
#define GLOBAL(method, handler) void tl_api_##handler(struct tl_call *c);
#define ABSENT(method)
#define REFUSED(method, error, message)
#include "server/api/table.def"
#undef INSPACE
#undef OPERATOR
#undef GLOBAL
#undef ABSENT
#undef REFUSED

/* --- common.c: what several handlers need ----------------------------------------------------------- */

/* The run an execution means; answers and returns NULL when there is none or the ids are bad. */
struct tl_exec *tl_api_find(struct tl_call *c, const TpCommon__WorkflowExecution *execution);
/* The same for methods with first_execution_run_id: it pins the chain and makes the run id moot. */
struct tl_exec *tl_api_find_in_chain(struct tl_call *c,
                                     const TpCommon__WorkflowExecution *execution,
                                     const char *first_run_id);
/* False after an answer INVALID_ARGUMENT. */
bool tl_api_check_id(struct tl_call *c, const char *field, const char *value, bool required);
/* The run of a task token; `what` is the noun of the NOT_FOUND answer. */
struct tl_exec *tl_api_task(struct tl_call *c, ProtobufCBinaryData bytes, bool is_activity,
                            struct tl_work_token *out);
/* Links that answers carry: to the event that started a run, and to a signal known by its request id. NULL without
 * memory; borrowed from the call's arena. */
TpCommon__Link *tl_api_link_to_start(struct tl_call *c, const struct tl_rs_info *info);
TpCommon__Link *tl_api_link_to_signal(struct tl_call *c, const struct tl_rs_info *info,
                                      const char *request_id);
/* start.c: starts the workflow with a first update, for ExecuteMultiOperation. NULL after an answer. */
struct tl_exec *tl_api_start_with_update(struct tl_call *c,
                                         const TpWs__StartWorkflowExecutionRequest *req,
                                         const TpUpdate__Request *update);
/* Ends a transaction whose operation returned rc; answers errors. True when it succeeded. */
bool tl_api_end(struct tl_call *c, struct tl_exec *e, struct tl_tx *tx, tl_rc rc,
                struct tl_error *err);
/* Ends a deletion: waits until all that the closed run wrote is durable, then removes it. */
void tl_api_erase(struct tl_call *c, struct tl_exec *e, const void *response);
/* Checks the search attributes a client sets; NULL is fine. False after an answer INVALID_ARGUMENT. */
bool tl_api_check_attributes(struct tl_call *c, const TpCommon__SearchAttributes *sa);
/* Checks what a client wants of a run's time skipping and fills in what it left to the server; NULL is
 * fine. False after an answer (UNIMPLEMENTED: switched off; INVALID_ARGUMENT). */
bool tl_api_check_time_skipping(struct tl_call *c, TpCommon__TimeSkippingConfig *config);
/* Whether the options of a run can be changed so. False after an answer. */
bool tl_api_check_options(struct tl_call *c, const Google__Protobuf__FieldMask *mask,
                          const TpWorkflow__WorkflowExecutionOptions *options);
/* Whether a reset can end with these operations. False after an answer. */
bool tl_api_check_post_reset(struct tl_call *c, TpWorkflow__PostResetOperation *const *operations,
                             size_t n);
/* The description of a namespace as it is stored, to be changed; answers when it cannot be read. */
TpWs__DescribeNamespaceResponse *tl_api_namespace(struct tl_call *c, const struct tl_namespace *ns);
