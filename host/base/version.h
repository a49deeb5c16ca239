/* The version of the library, as it tells servers, tools and scripts. Thread: any. */
#pragma once

#define TL_SDK_NAME "temporal-lua"
#define TL_VERSION "0.1.0"
