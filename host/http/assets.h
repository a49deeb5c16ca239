/* Files of a folder over HTTP. Private to this folder. Thread: the listener's. */
#pragma once

#include "http/http.h"

/* Answers with the file that the request's path names below the folder, "index.html" for a folder;
 * 404 for what is not there, is not a plain file, or lies outside. */
void tl_http_serve_asset(const char *folder, struct tl_http_request *r);
