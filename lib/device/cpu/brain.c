/* C = alpha A B + beta C in bf16: C is cut into a rectangle for each thread. Of one operand (r) a block is
 * packed that stays in the second cache, of the other (s) all, where there is room; a panel of it stays in the
 * first cache while those of r pass, and the next one is fetched. k is cut where its packed block would be too
 * large, and where sums leave the registers; they go on in f32. */
#include "device/cpu/brain.h"

#include "device/cpu/amx.h"

#if CPU_HAS_BRAIN
#include "core/process.h"

#define MULTIPLY_ADDS 64.0 /* that count as one element operation */
#define RESIDENT 524288    /* numbers of r: 1 MiB, */
#define WHOLE 3145728      /* of s, where it is packed once: 6 MiB, */
#define BESIDE 98304       /* and of what of it is packed before it is multiplied: 192 KiB */
#define DEPTH 3072         /* numbers of a line that are packed, at most */
#define KEPT 192           /* blocks of sums */
#define FAR 1048576.0      /* numbers of C that are too many for the second cache */
#define FEW_ROWS 32        /* for which A is turned rather than B */

/* What a thread packs in: just under 8 MiB, for which there are huge pages. */
typedef struct room {
    uint16_t r[RESIDENT], s[WHOLE];
    float sums[KEPT + 3][BRAIN_SUMS], last[2][BRAIN_SUMS];
} room;

typedef struct job {
    weft__brain p;
    int64_t down, across; /* rectangles */
    int lane[WEFT__LANES];
} job;

/* A rectangle: lines of r and s in panels, k in parts. */
typedef struct work {
    weft__brain p;
    weft__brain_side r, s;
    bool r_is_b, once; /* once: s stays packed */
    room *room;
    int64_t parts, steps;       /* of k: parts that are packed, and steps of all */
    int64_t rows, columns;      /* panels of r that are packed, and of s whose sums are kept, */
    int64_t some;               /* and of s that are packed */
    int64_t r0, r1, s0, s1;     /* panels now, */
    int64_t some0, some1;       /* and what of s is packed */
    int64_t part, first, count; /* of k, and its steps */
    int now;                    /* which of last[] comes next */
    weft__brain_aside aside;
} work;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t panels_of(const weft__brain_side *s)
{
    return ceiling(s->lines, BRAIN_SIDE);
}

static int tiles_of(const weft__brain_side *s, int64_t panel)
{
    return s->lines - panel * BRAIN_SIDE > BRAIN_SIDE / 2 ? 2 : 1;
}

/* --- rooms --- */

static void give_back(const int *lane, int n)
{
    for (int i = 0; i < n; i++)
        weft__cpu_lane_give(weft__process.brain_lane, lane[i]);
}

static bool take_all(int *lane, int n)
{
    for (int i = 0; i < n; i++) {
        lane[i] = weft__cpu_lane_take(weft__process.brain_lane, sizeof(room));
        if (lane[i] < 0) {
            give_back(lane, i);
            return false;
        }
    }
    return true;
}

/* --- one rectangle --- */

static int64_t k_of(const work *w, int64_t step)
{
    return least(w->p.k, step * BRAIN_STEP);
}

static void pack(const work *w, uint16_t *to, const weft__brain_side *s, int64_t p0, int64_t p1)
{
    weft__brain_pack(to, s, p0, p1, k_of(w, w->first), k_of(w, w->first + w->count));
}

static void round_later(work *w, int64_t a, int64_t b, const float *sums)
{
    weft__brain_aside *o = &w->aside;
    weft__brain_finish(o);
    o->sums = sums;
    o->i = a * BRAIN_SIDE;
    o->j = b * BRAIN_SIDE;
    o->row = 0;
}

/* The sums of a panel of s and one of r that wait for more of k. */
static float *kept(const work *w, int64_t s, int64_t r)
{
    return w->room->sums[(w->parts > 1 ? (s - w->s0) * w->rows : 0) + r - w->r0];
}

/* Where a panel of s is: all that were packed since the first, or some. */
static uint16_t *packed(const work *w, int64_t s)
{
    return w->room->s + (w->once ? s : s - w->some0) * w->count * 2 * BRAIN_TILE;
}

/* Steps from..to-1 of this part, of a panel of s and all of r. */
static void multiply_panel(work *w, int64_t s, int64_t from, int64_t to)
{
    const int64_t long_panel = w->count * 2 * BRAIN_TILE, at = from * 2 * BRAIN_TILE;
    const bool first = w->part + from == 0, last = w->part + 1 == w->parts && to == w->count;
    weft__brain_block o = {
        .steps = to - from, .add = !first, .b_stays = !w->r_is_b, .aside = &w->aside};
    for (int64_t r = w->r0; r < w->r1; r++) {
        const int64_t a = w->r_is_b ? s : r, b = w->r_is_b ? r : s;
        const uint16_t *const ps = packed(w, s) + at, *const pr = w->room->r +
                                                                  (r - w->r0) * long_panel + at;
        o.a = w->r_is_b ? ps : pr;
        o.b = w->r_is_b ? pr : ps;
        o.atiles = tiles_of(&w->p.a, a);
        o.btiles = tiles_of(&w->p.b, b);
        o.before = first ? w->room->sums[0] : kept(w, s, r);
        o.sums = last ? w->room->last[w->now] : kept(w, s, r);
        o.later = first ? w->room->sums[0] : kept(w, s, least(r + 1, w->r1 - 1));
        (w->p.kind == BRAIN_AMX ? weft__brain_by_tiles : weft__brain_by_pairs)(&o);
        if (last) {
            round_later(w, a, b, o.sums);
            w->now = !w->now;
        }
    }
}

/* A panel of s that is packed comes nearer while the one before is multiplied. */
static void fetch(work *w, int64_t panel)
{
    weft__brain_aside *o = &w->aside;
    const int64_t numbers = w->count * 2 * BRAIN_TILE;
    o->lines = 0;
    if (!w->once || panel >= w->s1)
        return;
    o->fetch = (const char *)(w->room->s + panel * numbers);
    o->end = o->fetch + numbers * (int64_t)sizeof *w->room->s;
    o->lines = (int)(BRAIN_SIDE / (w->r1 - w->r0) + 1);
}

static void multiply_some(work *w)
{
    const int64_t blocks = ceiling(w->count, BRAIN_STEPS);
    for (int64_t s = w->some0; s < w->some1; s++) {
        fetch(w, s + 1);
        for (int64_t e = 0; e < blocks; e++)
            multiply_panel(w, s, w->count * e / blocks, w->count * (e + 1) / blocks);
    }
}

static void multiply_part(work *w)
{
    pack(w, w->room->r, &w->r, w->r0, w->r1);
    for (w->some0 = w->s0; w->some0 < w->s1; w->some0 = w->some1) {
        w->some1 = least(w->s1, w->some0 + w->some);
        if (!w->once || w->r0 == 0)
            pack(w, packed(w, w->some0), &w->s, w->some0, w->some1);
        multiply_some(w);
    }
}

/* How long it takes to pack a line, measured. */
static int64_t effort(const weft__brain_side *s)
{
    return s->lines * (s->along ? s->turn ? 6 : 4 : s->turn ? 7 : 5);
}

static int64_t rows_of(const weft__brain_side *r, int64_t numbers)
{
    return ceiling(panels_of(r), ceiling(panels_of(r), RESIDENT / numbers));
}

/* Whether s, which is needed for each block of r, stays packed. */
static bool stays(const work *w, const weft__brain_side *r, const weft__brain_side *s,
                  int64_t numbers)
{
    return w->parts == 1 && panels_of(s) * numbers <= WHOLE && panels_of(r) > rows_of(r, numbers);
}

/* Where k is in parts, r is packed for some columns of s. A line of s that stays is fetched again; that of B
 * takes longer than that of A, as C is written by columns then. */
static int64_t price(const work *w, const weft__brain_side *r, const weft__brain_side *s,
                     int64_t numbers)
{
    const int64_t rows = rows_of(r, numbers), more = ceiling(panels_of(r), rows) - 1;
    const int64_t times = w->parts > 1 ? ceiling(panels_of(s), KEPT / rows) : 1;
    return effort(r) * times + effort(s) + (stays(w, r, s, numbers) ? s->lines : effort(s)) * more;
}

static void choose(work *w)
{
    const weft__brain *p = &w->p;
    w->steps = ceiling(p->k, BRAIN_STEP);
    w->parts = ceiling(p->k, DEPTH);
    const int64_t numbers = ceiling(w->steps, w->parts) * 2 * BRAIN_TILE;
    w->r_is_b = price(w, &p->b, &p->a, numbers) <= price(w, &p->a, &p->b, numbers);
    w->r = w->r_is_b ? p->b : p->a;
    w->s = w->r_is_b ? p->a : p->b;
    w->once = stays(w, &w->r, &w->s, numbers);
    w->rows = rows_of(&w->r, numbers);
    w->columns = w->parts > 1 ? KEPT / w->rows : panels_of(&w->s);
    w->some = most(BESIDE / numbers, 1);
    w->aside.p = p;
    w->aside.row = BRAIN_SIDE;
}

static void rectangle(work *w)
{
    choose(w);
    const int64_t r = panels_of(&w->r), s = panels_of(&w->s);
    for (w->r0 = 0; w->r0 < r; w->r0 = w->r1)
        for (w->r1 = least(r, w->r0 + w->rows), w->s0 = 0; w->s0 < s; w->s0 = w->s1) {
            w->s1 = least(s, w->s0 + w->columns);
            for (w->part = 0; w->part < w->parts; w->part++) {
                w->first = w->steps * w->part / w->parts;
                w->count = w->steps * (w->part + 1) / w->parts - w->first;
                multiply_part(w);
            }
        }
    weft__brain_finish(&w->aside);
    if (w->p.past)
        weft__brain_past();
}

static weft__brain_side lines_of(weft__brain_side s, int64_t lo, int64_t hi)
{
    s.x += lo * (s.along ? s.ld : 1);
    s.lines = hi - lo;
    return s;
}

static void rectangles(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const int64_t rows = panels_of(&o->p.a), columns = panels_of(&o->p.b);
    if (o->p.kind == BRAIN_AMX)
        weft__amx_begin();
    for (int64_t t = lo; t < hi; t++) {
        const int64_t y = t / o->across, x = t % o->across;
        const int64_t i0 = rows * y / o->down * BRAIN_SIDE,
                      j0 = columns * x / o->across * BRAIN_SIDE;
        const int64_t i1 = least(o->p.m, rows * (y + 1) / o->down * BRAIN_SIDE);
        const int64_t j1 = least(o->p.n, columns * (x + 1) / o->across * BRAIN_SIDE);
        work w = {.p = o->p, .room = weft__process.brain_lane[o->lane[t]].room};
        if (i0 >= i1 || j0 >= j1)
            continue;
        w.p.m = i1 - i0;
        w.p.n = j1 - j0;
        w.p.a = lines_of(o->p.a, i0, i1);
        w.p.b = lines_of(o->p.b, j0, j1);
        if (o->p.bias)
            w.p.bias = o->p.bias + (o->p.cc == 1 ? j0 : i0);
        w.p.c = (char *)o->p.c + (i0 * o->p.rc + j0 * o->p.cc) * (int64_t)weft_dtype_size(o->p.ct);
        rectangle(&w);
    }
    if (o->p.kind == BRAIN_AMX)
        weft__amx_end();
}

/* As many rectangles as threads; each packs its own share of A and B, so they should be few. */
static void cut(job *o, int team)
{
    double best = 0;
    for (int64_t down = 1; down <= team; down++) {
        const double copied = (double)down * (double)effort(&o->p.b) +
                              (double)(team / down) * (double)effort(&o->p.a);
        if (team % down == 0 && (down == 1 || copied < best)) {
            best = copied;
            o->down = down;
            o->across = team / down;
        }
    }
}

/* C' = B' A' instead, where that saves turning most of what is packed. */
static void turn_round(weft__brain *p)
{
    const weft__brain p0 = *p;
    if (p->m > FEW_ROWS || !p->a.along || !p->b.along || p->n <= p->m)
        return;
    p->m = p0.n;
    p->n = p0.m;
    p->a = p0.b;
    p->b = p0.a;
    p->a.turn = false;
    p->b.turn = true;
    p->rc = p0.cc;
    p->cc = p0.rc;
}

/* The gradient of large weights, which is read again when all others were written. */
static bool is_far(const weft__brain *p)
{
    return p->ct == WEFT_F32 && (double)p->m * (double)p->n > FAR && p->cc == 1 &&
           p->rc % 16 == 0 && (uintptr_t)p->c % 64 == 0;
}

bool weft__brain_multiply(weft_stream *s, const weft__brain *p)
{
    job o = {.p = *p};
    int team =
        weft__cpu_team(s->device, (double)p->m * (double)p->n * (double)p->k / MULTIPLY_ADDS);
    team = team < WEFT__LANES ? team : WEFT__LANES;
    if (p->k == 0 || p->kind == BRAIN_NONE || !take_all(o.lane, team))
        return false;
    turn_round(&o.p);
    o.p.past = is_far(&o.p);
    cut(&o, team);
    weft__cpu_pieces(rectangles, &o, team, 1, team);
    give_back(o.lane, team);
    return true;
}
#endif
