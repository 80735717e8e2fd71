/* Blocks of strided arrays: which there are, and going through them. */
#include "device/cpu/blocks.h"

#define HIGH 32 /* rows of a turned block: whole lines of the cache */
#define WIDE (BLOCK_ROOM / HIGH)
#define SHARED 256 /* columns, for what has one number to a row */
#define LINE 16    /* numbers that are worth a line */

/* The walk with the numbers of array 0 in the order in which they lie. */
static void in_order(weft__walk *w, int arrays, const weft__strided *array, int rank,
                     const int64_t *shape)
{
    int64_t near[WEFT_MAX_RANK], extent[WEFT_MAX_RANK], way[WALK_ARRAYS][WEFT_MAX_RANK], n = 1;
    const int64_t *stride[WALK_ARRAYS];
    int from[WEFT_MAX_RANK];
    bool sorted = true;
    for (int d = rank - 1; d >= 0; n *= shape[d--])
        near[d] = n;
    for (int a = 0; a < arrays; a++)
        stride[a] = array[a].stride ? array[a].stride : near;
    for (int d = 0, e; d < rank; d++) {
        for (e = d; e > 0 && stride[0][from[e - 1]] < stride[0][d]; e--)
            from[e] = from[e - 1];
        from[e] = d;
        sorted &= e == d;
    }
    for (int a = 0; a < arrays && !sorted; a++) {
        for (int d = 0; d < rank; d++) {
            extent[d] = shape[from[d]];
            way[a][d] = stride[a][from[d]];
        }
        stride[a] = way[a];
    }
    weft__walk_of(w, arrays, rank, sorted ? shape : extent, stride);
}

/* Brings the dimension along which an array lies, which does not along the last one, next to that. */
static bool turn(weft__walk *w)
{
    const int last = w->rank - 1;
    int found = last;
    for (int a = 1; a < w->arrays && w->shape[last] >= LINE; a++)
        for (int d = 0; d < last && found == last && w->stride[a][last] > 1; d++)
            if (w->stride[a][d] == 1)
                found = d;
    for (int d = found; d < last - 1; d++) {
        const weft__walk was = *w;
        w->shape[d] = was.shape[d + 1], w->shape[d + 1] = was.shape[d];
        for (int a = 0; a < w->arrays; a++)
            w->stride[a][d] = was.stride[a][d + 1], w->stride[a][d + 1] = was.stride[a][d];
    }
    return found < last;
}

/* The first dimension of rows that are too short for a line and lie behind each other in array 0; 0: there are none. */
static int row_of(const weft__walk *w)
{
    int d = w->rank - 1;
    int64_t n = 1;
    if (w->shape[d] >= LINE || w->stride[0][d] != 1)
        return 0;
    for (; d > 0 && n * w->shape[d] <= BLOCK_ROW && w->stride[0][d] == n; d--)
        n *= w->shape[d];
    return n > 1 && w->stride[0][d] == n ? d + 1 : 0;
}

/* Where the numbers of a row are. @return whether they are one behind the other, and the rows, too. */
static bool fill_row(weft__blocks *b, int first, int a)
{
    const weft__walk *w = &b->grid;
    int64_t n = 1, *at = b->in_row[a];
    bool near = true;
    at[0] = 0;
    for (int d = w->rank - 1; d >= first; n *= w->shape[d--]) {
        near &= w->stride[a][d] == n;
        for (int64_t i = n; i < n * w->shape[d]; i++)
            at[i] = at[i - n] + w->stride[a][d] * b->size[a];
    }
    return near && w->stride[a][first - 1] == n;
}

/* Whether an array has one number to a row: blocks that lie side by side then share what is brought. */
static bool repeats(const weft__walk *w)
{
    const int last = w->rank - 1;
    for (int a = 1; a < w->arrays; a++)
        if (last > 0 && w->stride[a][last] == 0 && w->stride[a][last - 1] != 0)
            return true;
    return false;
}

static int64_t pieces(int64_t n, int64_t of)
{
    return n <= of ? n > 0 : (n + of - 1) / of;
}

void weft__blocks_of(weft__blocks *b, int arrays, const weft__strided *array, int rank,
                     const int64_t *shape)
{
    weft__walk *g = &b->grid;
    in_order(g, arrays, array, rank, shape);
    b->turned = turn(g);
    const int first = b->turned ? 0 : row_of(g), last = g->rank - 1,
              outer = first ? first - 1 : last - (last > 0);
    b->joined = first > 0;
    b->cols = 1;
    for (int d = first ? first : last; d <= last; d++)
        b->cols *= g->shape[d];
    b->rows = last > 0 ? g->shape[outer] : 1;
    b->wide = b->turned ? WIDE : repeats(g) ? SHARED : BLOCK_ROOM;
    b->wide = b->cols < b->wide ? b->cols : b->wide;
    b->high = b->rows > 1 && b->wide ? BLOCK_ROOM / b->wide : 1;
    for (int a = 0; a < arrays; a++) {
        const int64_t size = (int64_t)array[a].size;
        b->base[a] = (char *)array[a].p; /* NOLINT */
        b->size[a] = size;
        b->down[a] = last > 0 ? g->stride[a][outer] * size : 0;
        b->across[a] = g->stride[a][last] * size;
        b->brought[a] = first ? !fill_row(b, first, a) : a > 0 && b->across[a] != size;
        for (int d = 0; d < outer; d++)
            g->stride[a][d] *= size;
        g->stride[a][outer] = b->down[a] * b->high;
        g->stride[a][outer + 1] = b->across[a] * b->wide;
    }
    g->rank = outer + 2;
    g->shape[outer] = pieces(b->rows, b->high);
    g->shape[outer + 1] = pieces(b->cols, b->wide);
    g->numel = 1;
    for (int d = 0; d < g->rank; d++)
        g->numel *= g->shape[d];
}

/* Asks for where a turned block goes to, pieces of lines far from each other, while it is turned. */
static void ask(const weft__blocks *b, const weft__block *k)
{
    const char *y = b->base[0] + k->place.at[0];
    for (int64_t r = 0; r < k->rows; r++, y += b->down[0])
        for (int64_t i = 0; i < k->n * b->size[0]; i += 64)
            __builtin_prefetch(y + i, 1, 2);
}

static void look(const weft__blocks *b, weft__block *k)
{
    const int64_t *index = k->place.index + b->grid.rank - 2;
    const int64_t rows = b->rows - index[0] * b->high, n = b->cols - index[1] * b->wide;
    k->rows = rows < b->high ? rows : b->high;
    k->n = n < b->wide ? n : b->wide;
    if (b->turned)
        ask(b, k);
    for (int a = 0; a < b->grid.arrays; a++) {
        char *x = b->base[a] + k->place.at[a];
        const int64_t much = k->rows * (BLOCK_ROOM + 1) + k->n;
        k->at[a] = b->brought[a] ? k->room[a - 1] : x;
        k->down[a] = b->brought[a] ? k->n * b->size[a] : b->down[a];
        if (b->brought[a] && (k->from[a] != x || k->held[a] != much))
            weft__block_bring(b, a, k->at[a], x, k->rows, k->n);
        k->from[a] = x;
        k->held[a] = much;
    }
    if (b->joined) {
        k->n *= k->rows;
        k->rows = 1;
    }
}

void weft__block_seek(const weft__blocks *b, weft__block *k, int64_t i)
{
    k->place = weft__walk_seek(&b->grid, i);
    for (int a = 0; a < b->grid.arrays; a++)
        k->from[a] = NULL;
    look(b, k);
}

void weft__block_step(const weft__blocks *b, weft__block *k)
{
    weft__walk_step(&b->grid, &k->place, 1);
    if (k->place.index[0] < b->grid.shape[0])
        look(b, k);
}
