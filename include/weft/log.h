/* Messages of the library to people. They go to stderr, from rank 0 unless only one rank knows, and
 * never to stdout. (Metrics are another noun: see <weft/logger.h>.) */
#ifndef WEFT_LOG_H
#define WEFT_LOG_H
#include <weft/base.h>
WEFT_BEGIN
typedef enum weft_level {
    WEFT_LOG_SILENT = 0, /* as a message's own level: it was asked for, and no filter stops it */
    WEFT_LOG_ERROR = 1,
    WEFT_LOG_WARNING = 2,
    WEFT_LOG_INFO = 3, /* the default */
    WEFT_LOG_DEBUG = 4
} weft_level;

/* Receives every message whose level is let through; may be called from any thread, one at a time.
 * text is one line without a newline, borrowed for the call. */
typedef void (*weft_log_fn)(void *user, weft_level level, const char *text);

/* Sets where messages go (NULL: stderr) and the highest level that is let through. Process-wide.
 * WEFT_LOG_LEVEL (silent, error, warning, info, debug) sets the level when the process starts. */
WEFT_API void weft_log_to(weft_log_fn fn, void *user);
WEFT_API void weft_log_level(weft_level level);
WEFT_END
#endif
