/* What the code of an op asks of its call. */
#include "core/error.h"
#include "device/device.h"

#include <stdarg.h>
#include <stdio.h>
#include <weft/sys/op.h>

weft_status weft_op_fail(const weft_op_call *c, weft_status code, const char *format, ...)
{
    char text[WEFT__TEXT - 64];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return weft__fail(code, "%s: %s", c ? c->op->name : "an op", text);
}

void *weft_op_host(const weft_op_call *c, const weft_view *v)
{
    if (!c || !v || c->device->ops->sync(c->stream))
        return NULL;
    return weft__device_host(c->device, v->data);
}
