/* Codes. Negative: it failed, and a message says what, where, why and what to do. Positive: a
 * notice, never a failure. The first error of a tensor, op, data set, device, peer or resume sticks
 * to its fabric (weft_error, weft_message, weft_clear); failures of save and log do not. */
#ifndef WEFT_STATUS_H
#define WEFT_STATUS_H
#include <weft/base.h>
WEFT_BEGIN

#define WEFT_STATUS_LIST(E)                                                                        \
    E(WEFT_CONFIG_PRINTED, 5, "the options were printed, as was asked for; nothing runs")          \
    E(WEFT_POSTPONED, 4, "done later, at the end of the accumulation window")                      \
    E(WEFT_SKIPPED, 3, "the step was skipped")                                                     \
    E(WEFT_SYNCHRONOUS, 2, "done at once, not in the background")                                  \
    E(WEFT_RELAUNCHED, 1, "this process was only the launcher; its children have ended")           \
    E(WEFT_OK, 0, "no error")                                                                      \
    E(WEFT_EARG, -1, "bad argument or option")                                                     \
    E(WEFT_ESHAPE, -2, "shapes do not fit")                                                        \
    E(WEFT_EDTYPE, -3, "element type not accepted")                                                \
    E(WEFT_EHANDLE, -4, "stale or foreign handle")                                                 \
    E(WEFT_ESTATE, -5, "call out of order")                                                        \
    E(WEFT_ENOMEM, -6, "out of memory")                                                            \
    E(WEFT_ENOTSUP, -7, "this build or this version cannot do it")                                 \
    E(WEFT_ENOENT, -8, "no such file, data set or checkpoint")                                     \
    E(WEFT_EIO, -9, "the system refused a read or a write")                                        \
    E(WEFT_EFORMAT, -10, "damaged or foreign file")                                                \
    E(WEFT_EDATA, -11, "bad value in the data")                                                    \
    E(WEFT_ENONFINITE, -12, "not a finite number")                                                 \
    E(WEFT_ECONFIG, -13, "ranks, nodes or settings contradict each other")                         \
    E(WEFT_EPEER, -14, "another rank failed or was lost")                                          \
    E(WEFT_ETIMEOUT, -15, "a wait took too long")                                                  \
    E(WEFT_EMPI, -16, "MPI reported an error")                                                     \
    E(WEFT_ECHILD, -17, "a launched process failed")                                               \
    E(WEFT_EUSER, -18, "a user's callback failed")                                                 \
    E(WEFT_EDEVICE, -19, "a device failed, or is not there")

typedef enum weft_status {
#define WEFT__ENUM(name, value, text) name = value,
    WEFT_STATUS_LIST(WEFT__ENUM)
#undef WEFT__ENUM
} weft_status;

/* One line for a code, borrowed for ever. */
WEFT_API const char *weft_strerror(weft_status code);
/* "WEFT_ESHAPE" and so on, borrowed for ever. */
WEFT_API const char *weft_status_name(weft_status code);

/* The error that sticks to f: 0 or its code. Never blocks; not collective. */
WEFT_API weft_status weft_error(const weft_fabric *f);
/* Its message, or that of the last failure that did not stick; "" if none. Borrowed from f until
 * the next failure, weft_clear or weft_close. */
WEFT_API const char *weft_message(const weft_fabric *f);
/* Forgets the sticking error on all ranks, so that the loop may go on after the failed batch. Where a
 * step or a clip failed on some ranks alone, they get the parameters and moments of the others.
 * Collective. @return WEFT_OK; WEFT_EPEER after a lost peer, which cannot be cleared. */
WEFT_API weft_status weft_clear(weft_fabric *f);
/* For user code: makes an error stick as a failing op would, with a message of its own.
 * @return code. */
WEFT_API weft_status weft_fail(weft_fabric *f, weft_status code, const char *format, ...)
    WEFT_PRINTF(3, 4);
/* The same with the whole message, for languages that have no variable arguments. */
WEFT_API weft_status weft_fail_text(weft_fabric *f, weft_status code, const char *message);

WEFT_END
#endif
