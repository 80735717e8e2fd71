/* Failures: a message per thread, and the first error of a fabric. */
#include "core/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last[WEFT__TEXT];

const char *weft_strerror(weft_status code)
{
    switch (code) {
#define CASE(name, value, text)                                                                    \
    case name:                                                                                     \
        return text;
        WEFT_STATUS_LIST(CASE)
#undef CASE
    }
    return "unknown code";
}

const char *weft_status_name(weft_status code)
{
    switch (code) {
#define CASE(name, value, text)                                                                    \
    case name:                                                                                     \
        return #name;
        WEFT_STATUS_LIST(CASE)
#undef CASE
    }
    return "?";
}

weft_status weft__fail(weft_status code, const char *format, ...)
{
    char text[WEFT__TEXT]; /* arguments may point into last */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(last, text, sizeof last);
    return code;
}

weft_status weft__fail_errno(weft_status code, const char *format, ...)
{
    int e = errno;
    char text[WEFT__TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return weft__fail(code, "%s: %s", text, strerror(e));
}

const char *weft__why(void)
{
    return last;
}

void weft__sticky_set(weft__sticky *s, weft_status code, const char *text)
{
    int free_state = 0;
    if (!atomic_compare_exchange_strong(&s->state, &free_state, 1))
        return;
    s->code = code;
    snprintf(s->text, sizeof s->text, "%s", text);
    atomic_store_explicit(&s->state, 2, memory_order_release);
}

void weft__sticky_clear(weft__sticky *s)
{
    s->code = WEFT_OK;
    s->text[0] = '\0';
    atomic_store(&s->state, 0);
}
