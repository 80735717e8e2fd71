/* A part of the array that belongs to the rank at place c of P is sent around twice. In step t the
 * rank at place p sends part p-1-t to its right and gets part p-2-t from its left (mod P); what comes
 * in steps 0..P-2 is added to, and after the last of them part p is whole; what comes in steps
 * P-1..2P-3 is whole. A reduce-scatter is the first half, an all-gather the second, an all-reduce
 * both. Parts are cut into segments of which LANES go through all steps together, a block after the
 * other: while one is under way or added to, others are. Message i of the stream is
 *     block i / (T L), step (i / L) % T, lane i % L      T steps, L lanes
 * and all ranks' messages go in that order: the earliest that is under way needs none but earlier
 * ones, so that there is always one that can go on. */
#include "comm/ring.h"

#include "comm/mpi_self.h"
#include "core/alloc.h"
#include "core/error.h"

#include <string.h>

/* Bytes. Longer messages than the 64 KiB of Open MPI's TCP wait for a word of their receiver, which stands
 * in line behind the data that go the other way: with 256 KiB the ring took twice what the link needs. */
#define SEGMENT ((int64_t)60 << 10)
#define SHORTEST 4096
#define LANES 8
#define WINDOW (2 * LANES) /* messages each way that are under way at once */

struct weft__mpi_ring {
    MPI_Comm comm;
    int place, world;
    int *order;  /* the rank at each place */
    int64_t *at; /* where each rank's part begins; world + 1 of them */
    char *slot;  /* WINDOW segments: what came and is to be added to */
    /* Of the request: */
    const weft_request *r;
    int64_t size;       /* of an element */
    int64_t segment;    /* elements */
    int first, steps;   /* of the steps above */
    int lanes;          /* segments that go together */
    int64_t messages;   /* each way */
    int64_t sent, gone; /* begun, ended */
    int64_t asked, taken;
    MPI_Request send[WINDOW], recv[WINDOW];
    bool tree; /* MPI's own, in send[0] */
};

typedef struct spot {
    int64_t block;
    int step, lane;
} spot;

static spot spot_of(const weft__mpi_ring *g, int64_t i)
{
    return (spot){i / g->lanes / g->steps, g->first + (int)(i / g->lanes % g->steps),
                  (int)(i % g->lanes)};
}

static int64_t index_of(const weft__mpi_ring *g, spot s)
{
    return (s.block * g->steps + s.step - g->first) * g->lanes + s.lane;
}

typedef struct span {
    int64_t at, n; /* elements */
} span;

/* What a message carries of the part of the rank that stands `back` places to the left. */
static span span_of(const weft__mpi_ring *g, int back, spot s)
{
    int place = (g->place - back) % g->world, k = g->order[place < 0 ? place + g->world : place];
    int64_t at = g->at[k] + (s.block * g->lanes + s.lane) * g->segment, left = g->at[k + 1] - at;
    return (span){at, left < 0 ? 0 : left < g->segment ? left : g->segment};
}

/* Steps whose message is added to. */
static bool adds(const weft__mpi_ring *g, int step)
{
    return step < g->world - 1;
}

/* Two sets of slots take turns, step by step. */
static char *slot_of(const weft__mpi_ring *g, spot s)
{
    int64_t stage = s.block * (g->world - 1) + s.step;
    return g->slot + (size_t)((stage % 2 * g->lanes + s.lane) * g->segment * g->size);
}

static char *home(const weft__mpi_ring *g, span a)
{
    return (char *)g->r->out + (size_t)(a.at * g->size);
}

static const char *own(const weft__mpi_ring *g, span a)
{
    return (const char *)g->r->in + (size_t)(a.at * g->size);
}

/* ---- what may begin ---- */

static bool may_send(const weft__mpi_ring *g, spot s)
{
    if (s.step == g->first)
        return true;
    s.step--;
    return g->taken > index_of(g, s);
}

/* The message that had the slot two stages ago is on its way; what lies where a whole part comes is
 * sent. */
static bool may_ask(const weft__mpi_ring *g, spot s)
{
    if (!adds(g, s.step)) {
        bool lies = s.step == g->world - 1 && g->first == 0;
        return !lies || g->gone > index_of(g, (spot){s.block, 0, s.lane});
    }
    int64_t stage = s.block * (g->world - 1) + s.step - 2;
    spot before = {stage / (g->world - 1), (int)(stage % (g->world - 1)), s.lane};
    if (stage < 0 || before.step == g->world - 2)
        return true;
    before.step++;
    return g->gone > index_of(g, before);
}

/* ---- what is done ---- */

#define ADD(T)                                                                                     \
    {                                                                                              \
        T *z = out;                                                                                \
        const T *x = a, *y = b;                                                                    \
        _Pragma("omp simd") for (int64_t i = 0; i < n; i++) z[i] = (T)(x[i] + y[i]);               \
        break;                                                                                     \
    }

/* out = a + b; out may be one of them. */
static void add(void *out, const void *a, const void *b, int64_t n, weft_dtype t)
{
    switch (t) {
    case WEFT_F32:
        ADD(float)
    case WEFT_F64:
        ADD(double)
    case WEFT_I32:
        ADD(uint32_t)
    case WEFT_I64:
        ADD(uint64_t)
    default:
        ADD(uint8_t)
    }
}

/* What came is added to this rank's, and is whole after the last such step. */
static void take(const weft__mpi_ring *g, spot s)
{
    span a = span_of(g, s.step + 2, s), here = a;
    char *came = slot_of(g, s), *to = came;
    if (!adds(g, s.step) || a.n == 0)
        return;
    if (g->r->call == WEFT_CALL_REDUCE_SCATTER)
        here.at -= g->at[g->order[g->place]];
    if (s.step == g->world - 2)
        to = home(g, here);
    add(to, came, own(g, a), a.n, g->r->dtype);
}

static int ask(weft__mpi_ring *g, spot s, MPI_Request *r)
{
    span a = span_of(g, s.step + 2, s);
    void *to = adds(g, s.step) ? slot_of(g, s) : home(g, a);
    int left = (g->place + g->world - 1) % g->world;
    *r = MPI_REQUEST_NULL;
    return a.n ? MPI_Irecv(to, (int)(a.n * g->size), MPI_BYTE, left, 0, g->comm, r) : 0;
}

static int send(weft__mpi_ring *g, spot s, MPI_Request *r)
{
    span a = span_of(g, s.step + 1, s);
    const void *from = s.step == 0       ? own(g, a)
                       : adds(g, s.step) ? slot_of(g, (spot){s.block, s.step - 1, s.lane})
                                         : home(g, a);
    *r = MPI_REQUEST_NULL;
    return a.n ? MPI_Isend(from, (int)(a.n * g->size), MPI_BYTE, (g->place + 1) % g->world, 0,
                           g->comm, r)
               : 0;
}

static weft_status end_some(weft__mpi_ring *g, bool *moved)
{
    int rc = 0, ended = 1;
    for (; g->taken < g->asked; g->taken++) {
        rc = MPI_Test(&g->recv[g->taken % WINDOW], &ended, MPI_STATUS_IGNORE);
        if (rc)
            return weft__mpi_failed("MPI_Test", rc);
        if (!ended)
            break;
        take(g, spot_of(g, g->taken));
        *moved = true;
    }
    for (; g->gone < g->sent; g->gone++) {
        rc = MPI_Test(&g->send[g->gone % WINDOW], &ended, MPI_STATUS_IGNORE);
        if (rc)
            return weft__mpi_failed("MPI_Test", rc);
        if (!ended)
            break;
        *moved = true;
    }
    return WEFT_OK;
}

static weft_status begin_some(weft__mpi_ring *g, bool *moved)
{
    int window = 2 * g->lanes, rc;
    for (; g->asked < g->messages && g->asked - g->taken < window; g->asked++) {
        spot s = spot_of(g, g->asked);
        if (!may_ask(g, s))
            break;
        if ((rc = ask(g, s, &g->recv[g->asked % WINDOW])))
            return weft__mpi_failed("MPI_Irecv", rc);
        *moved = true;
    }
    for (; g->sent < g->messages && g->sent - g->gone < window; g->sent++) {
        spot s = spot_of(g, g->sent);
        if (!may_send(g, s))
            break;
        if ((rc = send(g, s, &g->send[g->sent % WINDOW])))
            return weft__mpi_failed("MPI_Isend", rc);
        *moved = true;
    }
    return WEFT_OK;
}

/* What is so short that it would go around in vain. */
static weft_status turn_tree(weft__mpi_ring *g, bool *done)
{
    const weft_request *r = g->r;
    int rc = 0, ended = 0;
    if (!g->sent++)
        rc = MPI_Iallreduce(MPI_IN_PLACE, r->out, (int)r->n, weft__mpi_type(r->dtype), MPI_SUM,
                            g->comm, g->send);
    if (rc)
        return weft__mpi_failed("MPI_Iallreduce", rc);
    rc = MPI_Test(g->send, &ended, MPI_STATUS_IGNORE);
    *done = ended;
    return rc ? weft__mpi_failed("MPI_Test", rc) : WEFT_OK;
}

weft_status weft__mpi_ring_turn(weft__mpi_ring *g, bool *moved, bool *done)
{
    *moved = false;
    if (g->tree)
        return turn_tree(g, done);
    WEFT_TRY(end_some(g, moved));
    WEFT_TRY(begin_some(g, moved));
    *done = g->taken == g->messages && g->gone == g->messages;
    return WEFT_OK;
}

/* ---- a request begins ---- */

/* Where the ranks' parts lie. @return the elements of the longest. */
static int64_t cut(weft__mpi_ring *g, const weft_request *r)
{
    int64_t longest = 0, part = (r->n + g->world - 1) / g->world;
    g->at[0] = 0;
    for (int k = 0; k < g->world; k++) {
        int64_t left = r->n - g->at[k], n = part < left ? part : left;
        n = r->counts ? r->counts[k] : n;
        g->at[k + 1] = g->at[k] + n;
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Segments short enough for all lanes to have one, but not shorter than is worth a message. */
static int64_t segment_for(const weft__mpi_ring *g, int64_t longest, int64_t most)
{
    int64_t bytes = (longest * g->size + LANES - 1) / LANES;
    bytes = bytes < SHORTEST ? SHORTEST : bytes;
    bytes = bytes < most ? bytes : most;
    bytes = bytes < SEGMENT ? bytes : SEGMENT;
    return bytes < g->size ? 1 : bytes / g->size;
}

void weft__mpi_ring_begin(weft__mpi_ring *g, const weft_request *r, int64_t most)
{
    int half = g->world - 1;
    g->r = r;
    g->size = (int64_t)weft_dtype_size(r->dtype);
    int64_t longest = cut(g, r);
    g->segment = segment_for(g, longest, most);
    int64_t segments = (longest + g->segment - 1) / g->segment;
    g->lanes = segments < 1 ? 1 : segments < LANES ? (int)segments : LANES;
    g->first = r->call == WEFT_CALL_ALL_GATHER ? half : 0;
    g->steps = r->call == WEFT_CALL_ALL_REDUCE ? 2 * half : half;
    g->messages = (segments + g->lanes - 1) / g->lanes * g->steps * g->lanes;
    g->sent = g->gone = g->asked = g->taken = 0;
    g->tree = r->call == WEFT_CALL_ALL_REDUCE && r->n * g->size < (int64_t)WEFT__TREE * g->world;
    if (r->call != WEFT_CALL_ALL_GATHER)
        return;
    span mine = {g->at[g->order[g->place]], r->counts[g->order[g->place]]};
    if (mine.n && home(g, mine) != r->in)
        memmove(home(g, mine), r->in, (size_t)(mine.n * g->size));
}

/* ---- making it ---- */

weft_status weft__mpi_ring_new(weft__mpi_ring **out, MPI_Comm comm, const int *order)
{
    weft__mpi_ring *g = weft__new(1, sizeof *g);
    if (!g) {
        MPI_Comm_free(&comm);
        return WEFT_ENOMEM;
    }
    MPI_Comm_rank(comm, &g->place);
    MPI_Comm_size(comm, &g->world);
    g->comm = comm;
    g->order = weft__new((size_t)g->world, sizeof *g->order);
    g->at = weft__new((size_t)g->world + 1, sizeof *g->at);
    g->slot = weft__new(WINDOW, (size_t)SEGMENT);
    if (!g->order || !g->at || !g->slot) {
        weft__mpi_ring_free(g);
        return WEFT_ENOMEM;
    }
    memcpy(g->order, order, (size_t)g->world * sizeof *order);
    *out = g;
    return WEFT_OK;
}

void weft__mpi_ring_free(weft__mpi_ring *g)
{
    int over = 0;
    MPI_Finalized(&over);
    if (!over)
        MPI_Comm_free(&g->comm);
    weft__free(g->order);
    weft__free(g->at);
    weft__free(g->slot);
    weft__free(g);
}
