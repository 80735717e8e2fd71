/* A logger of the user's own. Only rank 0's is called. Loggers open nothing before the first
 * record. */
#ifndef WEFT_SYS_LOGGER_H
#define WEFT_SYS_LOGGER_H
#include <weft/logger.h>
#include <weft/sys/state.h>
WEFT_BEGIN

/* One row of metrics. Names and values are borrowed for the call. */
typedef struct weft_record {
    int64_t step;
    int64_t epoch;
    double wall_s; /* since weft_open, continued over resumes */
    int64_t n;
    const char *const *name;
    const double *value;
    /* For progress: where the training loader stands; 0 where there is none. */
    int64_t batches, batches_total, global_batch; /* batches over all epochs */
    int64_t epochs;
} weft_record;

typedef struct weft_logger_ops {
    size_t size;
    const char *name;
    weft_status (*record)(void *self, const weft_record *r);   /* REQUIRED */
    weft_status (*progress)(void *self, const weft_record *r); /* OPTIONAL: each edge, n = 0 */
    weft_status (*resume)(void *self, int64_t step);           /* OPTIONAL: cut beyond step */
    weft_status (*state)(void *self, weft_visitor *v);         /* OPTIONAL */
    void (*finish)(void *self);                                /* OPTIONAL: at weft_close */
    void (*destroy)(void *self);                               /* OPTIONAL */
} weft_logger_ops;

/* Adds a logger to f; self is copied. */
WEFT_API weft_logger *weft_logger_new(weft_fabric *f, const weft_logger_ops *ops, const void *self,
                                      size_t bytes);
WEFT_END
#endif
