/* The thread's last failure, and the error that sticks to a fabric. */
#ifndef CORE_ERROR_H
#define CORE_ERROR_H
#include "core/try.h"
#include <stdatomic.h>
#include <weft/status.h>

#define WEFT__TEXT 512

/* Sets the calling thread's message and returns code: said once, where it is decided. */
weft_status weft__fail(weft_status code, const char *format, ...) WEFT_PRINTF(2, 3);
/* The same with ": strerror(errno)" appended. */
weft_status weft__fail_errno(weft_status code, const char *format, ...) WEFT_PRINTF(2, 3);
/* The message of the calling thread's last failure. */
const char *weft__why(void);

/* First error wins, from any thread. state: 0 free, 1 being written, 2 readable. */
typedef struct weft__sticky {
    atomic_int state;
    weft_status code;
    char text[WEFT__TEXT];
} weft__sticky;

/* 0 if nothing sticks. */
static inline weft_status weft__sticky_code(const weft__sticky *s)
{
    return atomic_load_explicit(&((weft__sticky *)s)->state, memory_order_acquire) == 2 ? s->code
                                                                                        : WEFT_OK;
}
void weft__sticky_set(weft__sticky *s, weft_status code, const char *text);
void weft__sticky_clear(weft__sticky *s);
#endif
