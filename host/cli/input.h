/* User data on the command line: --input and its relatives, and options of the form KEY=JSON. */
#pragma once

#include "cli/connect.h"
#include "proto/pb.h"

/* Payloads of --<prefix>input, --<prefix>input-file, --<prefix>input-meta, --<prefix>input-base64;
 * prefix is "" or "signal-". *out is in the arena, NULL when there is no input. Returns 0, or an exit
 * code after the error was printed. */
int tl_cli_input(struct tl_cli_session *s, const char *prefix, TpCommon__Payloads **out);
/* Entries (string to payload) of a repeatable KEY=JSON option, for a field of the map type that entry
 * describes. Returns as above. */
int tl_cli_json_entries(struct tl_cli_session *s, const char *option,
                        const ProtobufCMessageDescriptor *entry, struct tl_pb_list *out);
/* --headers as a header; NULL when there are none. Returns as above. */
int tl_cli_headers(struct tl_cli_session *s, TpCommon__Header **out);
/* Whether text is one JSON value. */
bool tl_cli_is_json(struct tl_str text);
