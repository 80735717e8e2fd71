/* The error that sticks, the clock of a step's parts, and the list of what dies with the fabric. */
#include "core/context.h"

#include "core/alloc.h"
#include "core/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

weft_status weft__stick(weft_fabric *f, weft_status code)
{
    char text[WEFT__TEXT + 96];
    if (!f)
        return code;
    snprintf(text, sizeof text, "rank %d on %s: %s", f->rank, f->host, weft__why());
    weft__sticky_set(&f->error, code, text);
    return code;
}

weft_status weft__note(weft_fabric *f, weft_status code)
{
    if (!f)
        return code;
    snprintf(f->noted, sizeof f->noted, "%s", weft__why());
    weft__say(WEFT_LOG_WARNING, "rank %d on %s: %s", f->rank, f->host, f->noted);
    return code;
}

weft_status weft_error(const weft_fabric *f)
{
    return weft__stuck(f);
}

const char *weft_message(const weft_fabric *f)
{
    if (!f)
        return "";
    return weft__stuck(f) ? f->error.text : f->noted;
}

weft_status weft_fail(weft_fabric *f, weft_status code, const char *format, ...)
{
    char text[WEFT__TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format ? format : "(no message)", args);
    va_end(args);
    weft__fail(code, "%s", text);
    return weft__stick(f, code < 0 ? code : WEFT_EUSER);
}

weft_status weft_fail_text(weft_fabric *f, weft_status code, const char *message)
{
    return weft_fail(f, code, "%s", message ? message : "");
}

double weft__now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

weft__part weft__enter(weft_fabric *f, weft__part part)
{
    weft__part left = f->part;
    double now = weft__now();
    f->spent[left] += now - f->since;
    f->since = now;
    f->part = part;
    return left;
}

void *weft__object_new(weft_fabric *f, weft__kind kind, size_t bytes,
                       void (*destroy)(weft__object *self))
{
    weft__object *o = !f || f->shut ? NULL : weft__new(1, bytes), **end, **last;
    if (!o) {
        if (f && !f->shut) /* else the error of weft_open has stuck */
            weft__stick(f, WEFT_ENOMEM);
        return NULL;
    }
    for (end = &f->objects; *end;)
        end = &(*end)->next;
    for (last = &f->first[kind]; *last;)
        last = &(*last)->after;
    o->kind = kind;
    o->fabric = f;
    o->destroy = destroy;
    o->link = end;
    *end = o;
    o->back = last;
    *last = o;
    return o;
}

void weft__object_free(weft__object *o)
{
    if (!o)
        return;
    *o->link = o->next;
    if (o->next)
        o->next->link = o->link;
    *o->back = o->after;
    if (o->after)
        o->after->back = o->back;
    o->destroy(o);
    weft__free(o);
}

weft__object *weft__object_first(const weft_fabric *f, weft__kind kind)
{
    return f ? f->first[kind] : NULL;
}

weft__object *weft__object_after(const weft__object *o)
{
    return o->after;
}
