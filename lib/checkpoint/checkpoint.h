/* Saving and loading whatever a state function names. Knows no module, optimizer or strategy. */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H
#include <weft/sys/comm.h>
#include <weft/sys/device.h>
#include <weft/sys/state.h>

/* Where the state is and who holds it. */
typedef struct weft__checkpoint {
    weft_comm *comm;
    weft_device *device;
    weft_stream *stream;
    weft_status (*state)(void *self, weft_visitor *v);
    void *self;
    const char *host;
    int keep;         /* committed checkpoints to keep under a directory; WEFT_OFF: all */
    const char *only; /* loading: of items whose names begin so; NULL: of all, and */
    bool lenient;     /* what one side lacks is no contradiction */
    struct weft__layout *layout; /* of the last save, reused; weft__checkpoint_free frees it */
} weft__checkpoint;

/* Writes dir/step-NNNNNN (at least six digits) and commits it by one rename. WEFT_OK too if a good
 * one is there; a bad one in the way is moved aside. Old ones beyond `keep` are removed only after
 * the commit. All ranks return the same code; on failure nothing committed has changed and the
 * thread's message says what failed where. Collective. */
weft_status weft__checkpoint_save(weft__checkpoint *c, const char *dir, int64_t step);
/* Loads one checkpoint directory: verify all, agree, apply. *step is its step. On failure nothing
 * has changed. Collective. */
weft_status weft__checkpoint_load(weft__checkpoint *c, const char *path, int64_t *step);
/* Loads the newest good one under dir, naming bad ones in warnings; *step -1 and WEFT_OK if dir has
 * no committed step (or is not there). Collective. */
weft_status weft__checkpoint_resume(weft__checkpoint *c, const char *dir, int64_t *step);
/* Bytes that it keeps between saves. */
int64_t weft__checkpoint_bytes(const weft__checkpoint *c);
void weft__checkpoint_free(weft__checkpoint *c);
#endif
