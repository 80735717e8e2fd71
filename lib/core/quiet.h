/* A limit on the size of files as an error instead of the process's end. */
#ifndef CORE_QUIET_H
#define CORE_QUIET_H
#include <signal.h>
#include <stdbool.h>

/* SIGXFSZ kills by default; while it is blocked a file size limit is the error EFBIG. Around every
 * piece of code that writes files in the user's thread. */
typedef struct weft__quiet {
    sigset_t old;
    bool limited; /* there is a limit, so that something was blocked */
    bool pending;
} weft__quiet;
void weft__quiet_begin(weft__quiet *q);
void weft__quiet_end(const weft__quiet *q);
#endif
