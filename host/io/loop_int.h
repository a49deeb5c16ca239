/* Private to io/: the libuv loop inside. */
#pragma once

#include <uv.h>

#include "io/loop.h"

uv_loop_t *tl_loop_uv(struct tl_loop *l);
