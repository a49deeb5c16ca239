/* Options that starts of workflows, activities and Nexus operations share, as messages. What is returned lives in the
 * session's arena; NULL when nothing was given. */
#pragma once

#include <temporal/api/sdk/v1/user_metadata.pb-c.h>

#include "cli/input.h"

/* --priority-key, --fairness-key, --fairness-weight. Returns 0, or an exit code after the error was printed. */
int tl_cli_priority(struct tl_cli_session *s, TpCommon__Priority **out);
/* --static-summary. Returns as above. */
int tl_cli_summary(struct tl_cli_session *s, TpSdk__UserMetadata **out);
/* --static-summary, --static-details. Returns as above. */
int tl_cli_user_metadata(struct tl_cli_session *s, TpSdk__UserMetadata **out);
/* --search-attribute. Returns as above. */
int tl_cli_search_attributes(struct tl_cli_session *s, TpCommon__SearchAttributes **out);
/* The value of a duration option. */
Google__Protobuf__Duration *tl_cli_duration(struct tl_cli_session *s, const char *option);
/* The value of an option with choices as a number of the enum; 0 when it was not given. */
int tl_cli_choice(struct tl_cli_session *s, const char *option,
                  const ProtobufCEnumDescriptor *desc);
