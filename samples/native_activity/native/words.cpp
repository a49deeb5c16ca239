// A native activity in C++: "words" counts the words of a text. No exception leaves it: the host is C.
#include <cctype>
#include <exception>
#include <stdexcept>
#include <string>

#include "temporal_lua.h"

namespace {

const tlua_host_api *host;

std::string text_of(tlua_activity *a)
{
    tlua_payload in;
    if (host->input(a, 0, &in) != TLUA_OK || in.data.size < 2 || in.data.data[0] != '"') {
        throw std::invalid_argument("words wants one text");
    }
    return std::string(in.data.data + 1, in.data.size - 2); // without the quotes of JSON
}

size_t count(const std::string &text)
{
    size_t words = 0;
    bool inside = false;
    for (unsigned char c : text) {
        const bool letter = !std::isspace(c);
        words += letter && !inside;
        inside = letter;
    }
    return words;
}

void words(tlua_activity *a, void *) noexcept
{
    try {
        const std::string result = std::to_string(count(text_of(a)));
        host->put_json(a, TLUA_RESULT, result.data(), result.size());
    } catch (const std::exception &e) {
        tlua_failure f = TLUA_FAILURE_INIT;
        f.type = "BadRequest";
        f.message = e.what();
        f.non_retryable = true;
        host->fail(a, &f);
    }
}

} // namespace

int tlua_module_v1(const tlua_host_api *api, tlua_module *m)
{
    host = api;
    return api->register_activity(m, "words", words, nullptr);
}
