/* Loggers: the door that all of them come through, and the calls to them. */
#include "logger/logger.h"

#include "core/alloc.h"

#include <string.h>

/* self lies behind the struct, aligned for anything. */
#define HEAD ((sizeof(weft_logger) + 63) / 64 * 64)

static void destroy(weft__object *o)
{
    weft_logger *l = (weft_logger *)o;
    if (l->ops->destroy)
        l->ops->destroy(l->self);
}

static weft_status check(const weft_logger_ops *ops, const void *self, size_t bytes)
{
    if (!ops || ops->size < sizeof *ops)
        return weft__fail(WEFT_EARG,
                          "weft_logger_new: the table is missing or its size is not set; "
                          "start it with .size = sizeof(weft_logger_ops)");
    if (!ops->name || !ops->record)
        return weft__fail(WEFT_EARG, "weft_logger_new: the table of \"%s\" lacks %s",
                          ops->name ? ops->name : "?", ops->name ? "record" : "a name");
    if (bytes && (!self || bytes > SIZE_MAX / 2))
        return weft__fail(WEFT_EARG, "weft_logger_new: \"%s\" has %zu bytes at %p", ops->name,
                          bytes, self);
    return WEFT_OK;
}

weft_logger *weft_logger_new(weft_fabric *f, const weft_logger_ops *ops, const void *self,
                             size_t bytes)
{
    if (!f)
        return NULL;
    if (check(ops, self, bytes)) {
        weft__note(f, WEFT_EARG); /* what concerns logging never sticks */
        return NULL;
    }
    weft_logger *l = weft__object_new(f, WEFT__LOGGER, HEAD + bytes, destroy);
    if (!l)
        return NULL;
    l->ops = ops;
    l->self = (char *)l + HEAD;
    if (bytes)
        memcpy(l->self, self, bytes);
    return l;
}

/* A user's callback has no way to leave a message: then its name and code must do. */
static weft_status answer(const weft_logger *l, weft_status code)
{
    if (code < 0 && !*weft__why())
        weft__fail(code, "logger \"%s\": %s", l->ops->name, weft_strerror(code));
    return code;
}

static void forget(void)
{
    weft__fail(WEFT_OK, "%s", "");
}

weft_status weft__logger_record(weft_logger *l, const weft_record *r)
{
    forget();
    return answer(l, l->ops->record(l->self, r));
}

weft_status weft__logger_progress(weft_logger *l, const weft_record *r)
{
    if (!l->ops->progress)
        return WEFT_OK;
    forget();
    return answer(l, l->ops->progress(l->self, r));
}

weft_status weft__logger_resume(weft_logger *l, int64_t step)
{
    if (!l->ops->resume)
        return WEFT_OK;
    forget();
    return answer(l, l->ops->resume(l->self, step));
}

weft_status weft__logger_state(weft_logger *l, weft_visitor *v)
{
    if (!l->ops->state)
        return WEFT_OK;
    forget();
    return answer(l, l->ops->state(l->self, v));
}

void weft__logger_finish(weft_logger *l)
{
    if (l->ops->finish)
        l->ops->finish(l->self);
}
