/* The logger that keeps nothing. */
#include "logger/logger.h"

static weft_status record(void *self, const weft_record *r)
{
    (void)self;
    (void)r;
    return WEFT_OK;
}

static const weft_logger_ops null = {
    .size = sizeof(weft_logger_ops), .name = "null", .record = record};

weft_logger *weft_logger_null(weft_fabric *f)
{
    return weft_logger_new(f, &null, NULL, 0);
}
