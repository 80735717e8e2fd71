/* Meetings, and what the ranks see of each other there. */
#include "comm/shm_self.h"

#include "comm/heartbeat.h"
#include "comm/mpi.h"
#include "comm/wait.h"
#include "core/error.h"
#include "core/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static weft_status wait_for(weft__shm *s, int q)
{
    _Atomic uint64_t *arrived = &weft__desk_of(s, q)->slot[s->meetings & 1].arrived;
    for (int i = 0; i < s->spins; i++) {
        if (atomic_load_explicit(arrived, memory_order_acquire) == s->meetings)
            return WEFT_OK;
        relax();
    }
    weft__wait w = {0};
    while (atomic_load_explicit(arrived, memory_order_acquire) != s->meetings)
        WEFT_TRY(weft__wait_on(&w, &s->base, q, s->base.timeout));
    return WEFT_OK;
}

/* After a failed one the ranks no longer agree on what comes next, which is as bad as a lost peer. */
static weft_status fail(weft__shm *s, weft_status code)
{
    s->base.lost = true;
    weft__mpi_lost();
    return code;
}

weft_status weft__shm_meet(weft__shm *s)
{
    s->meetings++;
    weft__slot *mine = &weft__desk_of(s, s->base.rank)->slot[s->meetings & 1];
    atomic_store_explicit(&mine->arrived, s->meetings, memory_order_release);
    for (int q = 0; q < s->base.world; q++) {
        weft_status rc = wait_for(s, q);
        if (rc)
            return fail(s, rc);
    }
    return WEFT_OK;
}

/* "all_reduce (sum) of 300 f32" */
static void describe(const weft__call *c, char text[96])
{
    static const char *const name[] = {"nothing",   "all_reduce", "reduce_scatter", "all_gather",
                                       "broadcast", "barrier",    "split"};
    static const char *const how[] = {"sum", "minimum", "maximum"};
    const char *type = weft_dtype_name((weft_dtype)c->type);
    const char *kind = name[c->kind];
    if (c->kind >= WEFT__BARRIER)
        snprintf(text, 96, "%s", kind);
    else if (c->kind == WEFT__BROADCAST)
        snprintf(text, 96, "%s of %" PRId64 " bytes from rank %d", kind, c->n, c->how);
    else if (c->kind == WEFT__ALL_REDUCE)
        snprintf(text, 96, "%s (%s) of %" PRId64 " %s", kind, how[c->how], c->n, type);
    else
        snprintf(text, 96, "%s of %" PRId64 " %s", kind, c->n, type);
}

static bool same_call(const weft__shm *s, int q)
{
    const weft__call *mine = &weft__slot_of(s, s->base.rank)->call;
    return memcmp(&weft__slot_of(s, q)->call, mine, sizeof *mine) == 0;
}

/* Rank q and this one have come to different calls: the one that fewer ranks make is the stray. */
static weft_status differ(weft__shm *s, int q)
{
    const int rank = s->base.rank;
    int with = 0;
    for (int k = 0; k < s->base.world; k++)
        with += same_call(s, k);
    const int odd = 2 * with < s->base.world ? rank : q, rest = odd == q ? rank : q;
    char who[2][96], place[2][144], call[2][96];
    weft__heartbeat_find(&s->base, odd, who[0], place[0]);
    weft__heartbeat_find(&s->base, rest, who[1], place[1]);
    describe(&weft__slot_of(s, odd)->call, call[0]);
    describe(&weft__slot_of(s, rest)->call, call[1]);
    return fail(s,
                weft__fail(WEFT_EPEER,
                           "%s went another way: it is in %s%s%s, while %s is in %s%s; all ranks "
                           "must make the same collective calls in the same order",
                           who[0], call[0], strcmp(call[0], call[1]) ? "" : " in other parts",
                           place[0], who[1], call[1], place[1]));
}

weft_status weft__shm_begin(weft__shm *s, const weft__call *call, const void *buffer)
{
    weft__slot *mine = &weft__desk_of(s, s->base.rank)->slot[(s->meetings + 1) & 1];
    mine->call = *call;
    mine->place = weft__shm_place(s, buffer);
    WEFT_TRY(weft__shm_meet(s));
    for (int q = 0; q < s->base.world; q++)
        if (!same_call(s, q))
            return differ(s, q);
    return WEFT_OK;
}

uint64_t weft__shm_hash(const weft__shm *s, const int64_t *counts)
{
    return weft__hash(WEFT__HASH, counts, (size_t)s->base.world * sizeof *counts);
}

bool weft__shm_in_window(const weft__shm *s)
{
    uint64_t window = weft__slot_of(s, 0)->place.window;
    for (int q = 1; q < s->base.world; q++)
        if (weft__slot_of(s, q)->place.window != window)
            return false;
    return window != 0;
}
