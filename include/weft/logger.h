/* Metrics. Values are fetched at the step's edge, never where they are logged, so that logging does
 * not wait for a device; rank 0 writes. */
#ifndef WEFT_LOGGER_H
#define WEFT_LOGGER_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* Logs a tensor with one element under name for the current step: its mean over the global batch
 * (ranks weighted by their rows), fetched and combined once every `log_every` steps (an option of
 * weft_open). What is logged again before the step is over is averaged with it, by rows. Call it on all
 * ranks alike. A failure to log is reported once and does not stick. */
WEFT_API weft_status weft_log(weft_fabric *f, const char *name, weft_tensor *value);
/* The same for several:  weft_log_dict(f, {"loss", loss}, {"norm", norm}). @return the first failure,
 * after trying all. */
typedef struct weft_named {
    const char *name;
    weft_tensor *value;
} weft_named;
WEFT_API weft_status weft_log_dict_n(weft_fabric *f, size_t n, const weft_named *metrics);
#ifdef __cplusplus
WEFT_END
template <size_t n>
static inline weft_status weft_log_dict_(weft_fabric *f, const weft_named (&m)[n])
{
    return weft_log_dict_n(f, n, m);
}
WEFT_BEGIN
#define weft_log_dict(f, ...) weft_log_dict_(f, {__VA_ARGS__})
#else
#define weft_log_dict(f, ...)                                                                      \
    weft_log_dict_n(f, sizeof((const weft_named[]){__VA_ARGS__}) / sizeof(weft_named),             \
                    (const weft_named[]){__VA_ARGS__})
#endif
/* Logs rank 0's number. Call it on all ranks alike, with whatever the others have. */
WEFT_API weft_status weft_log_value(weft_fabric *f, const char *name, double value);
/* Logs the step's breakdown as time/data, time/forward, time/backward, time/communication,
 * time/optimizer (seconds, mean since the last call's interval). */
WEFT_API weft_status weft_log_timing(weft_fabric *f);

/* Loggers. Each becomes one of the fabric's; made alike on all ranks, they write on rank 0.
 * csv: columns step, epoch, wall_s and the names; a row is flushed as it is written, so it survives
 *      SIGKILL; a new name adds a column; after a resume, rows beyond the resumed step are cut.
 * jsonl: a line {"step":1,"epoch":0,"wall_s":0.5,"loss":0.25} a row; survives and resumes alike. Strict
 *      JSON: numbers read back as the same double; what is not finite is the text "NaN", "Infinity" or
 *      "-Infinity"; a name that a row has already gets an underscore ("step_").
 * console: progress with loss, samples/s and time left on stderr: a bar on a terminal, a line every
 *      few seconds otherwise. */
WEFT_API weft_logger *weft_logger_csv(weft_fabric *f, const char *path);
WEFT_API weft_logger *weft_logger_jsonl(weft_fabric *f, const char *path);
WEFT_API weft_logger *weft_logger_console(weft_fabric *f);
WEFT_API weft_logger *weft_logger_null(weft_fabric *f);

WEFT_END
#endif
