/* What the facade needs of loggers. Only rank 0 calls record, progress, resume and finish. */
#ifndef LOGGER_LOGGER_H
#define LOGGER_LOGGER_H
#include "core/context.h"

#include <weft/sys/logger.h>

struct weft_logger {
    weft__object object; /* kind WEFT__LOGGER */
    const weft_logger_ops *ops;
    void *self;
};

weft_status weft__logger_record(weft_logger *l, const weft_record *r);
weft_status weft__logger_progress(weft_logger *l, const weft_record *r);
weft_status weft__logger_resume(weft_logger *l, int64_t step);
weft_status weft__logger_state(weft_logger *l, weft_visitor *v);
void weft__logger_finish(weft_logger *l);
#endif
