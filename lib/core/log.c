/* One line a message, to stderr or to the program's own function, one message at a time. */
#include "core/log.h"

#include "core/process.h"

#include <stdarg.h>
#include <stdio.h>

void weft_log_to(weft_log_fn fn, void *user)
{
    weft__process_lock();
    weft__process.log_fn = fn;
    weft__process.log_user = user;
    weft__process_unlock();
}

void weft_log_level(weft_level level)
{
    weft__process_lock();
    weft__process.log_level = level;
    weft__process_unlock();
}

static void clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 127)
            *p = '?';
}

void weft__say(weft_level level, const char *format, ...)
{
    static const char *const name[] = {"", "error: ", "warning: ", "", "debug: "};
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    clean(text);
    weft__process_lock();
    if (level <= weft__process.log_level) {
        if (weft__process.log_fn)
            weft__process.log_fn(weft__process.log_user, level, text);
        else
            fprintf(stderr, "weft: %s%s\n", name[level], text);
    }
    weft__process_unlock();
}
