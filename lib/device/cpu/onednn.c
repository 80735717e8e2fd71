/* Products of matrices in 16 bits by oneDNN, one thread a call, as BLIS's. Our team cuts C into blocks
 * by its shape alone: which kernel oneDNN takes depends on the shape that it gets, and the sums must
 * not depend on the number of threads. What a block's shape needs is made once and kept: a
 * primitive for all, and memory objects for each lane, which is one call's at a time. oneDNN itself
 * asks for a few words of memory in each call. */
#include "device/cpu/onednn.h"

#if HAVE_DNNL_H
#include "core/alloc.h"
#include "core/hash.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define MULTIPLY_ADDS 64.0 /* that count as one element operation */
#define COLUMNS 384        /* of a block, or more */
#define ROWS 256           /* of a block of what has fewer columns */
#define CUT 64             /* where blocks begin */
#define LARGE 32e6         /* multiply-adds that are worth narrower blocks */
#define MOST 1024          /* products that are kept */

enum { A, B, C, SCRATCH, PARTS };
static const dnnl_query_t query[PARTS] = {dnnl_query_src_md, dnnl_query_weights_md,
                                          dnnl_query_dst_md, dnnl_query_scratchpad_md};
static const int argument[PARTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST,
                                    DNNL_ARG_SCRATCHPAD};

/* Strides in elements, of rows and columns. */
typedef struct shape {
    int64_t m, n, k, ra, ca, rb, cb, rc;
    int32_t add; /* C is added to */
    weft_dtype dt, ct;
    int32_t unused;
} shape;

struct onednn_product {
    shape shape;
    onednn_product *next;
    int users;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t run; /* NULL: oneDNN has none */
    size_t scratch;
    dnnl_memory_t memory[ONEDNN_LANES][PARTS];
};

typedef struct product {
    weft_stream *stream;
    weft__onednn *o;
    shape whole;
    char *a, *b, *c;
    int64_t lda, ldb;
    int ta, tb;
    bool by_rows;
    int64_t blocks;
} product;

/* --- products that are kept; under the lock --- */

static dnnl_data_type_t type_of(weft_dtype t)
{
    return t == WEFT_BF16 ? dnnl_bf16 : t == WEFT_F16 ? dnnl_f16 : dnnl_f32;
}

/* A matrix as oneDNN wants it: where there is one row or column, its stride clears the other's. */
static void layout(dnnl_dims_t dims, dnnl_dims_t strides, int64_t m, int64_t n, int64_t r,
                   int64_t c)
{
    dims[0] = m;
    dims[1] = n;
    strides[0] = m == 1 ? n * c : r;
    strides[1] = n == 1 && m > 1 ? m * r : c;
}

#if DNNL_VERSION_MAJOR >= 3
static dnnl_status_t describe(const weft__onednn *o, const shape *s, dnnl_primitive_attr_t attr,
                              dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t md[3] = {NULL};
    dnnl_dims_t dims[3], strides[3];
    dnnl_status_t bad = dnnl_success;
    layout(dims[A], strides[A], s->m, s->k, s->ra, s->ca);
    layout(dims[B], strides[B], s->k, s->n, s->rb, s->cb);
    layout(dims[C], strides[C], s->m, s->n, s->rc, 1);
    for (int i = A; i <= C && !bad; i++)
        bad = o->dnnl_memory_desc_create_with_strides(&md[i], 2, dims[i],
                                                      type_of(i == C ? s->ct : s->dt), strides[i]);
    if (!bad)
        bad = o->dnnl_matmul_primitive_desc_create(out, o->engine, md[A], md[B], NULL, md[C], attr);
    for (int i = A; i <= C; i++)
        if (md[i])
            o->dnnl_memory_desc_destroy(md[i]);
    return bad;
}
#define APPEND_SUM(o, ops) (o)->dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef)
#else
static dnnl_status_t describe(const weft__onednn *o, const shape *s, dnnl_primitive_attr_t attr,
                              dnnl_primitive_desc_t *out)
{
    dnnl_memory_desc_t md[3];
    dnnl_matmul_desc_t op;
    dnnl_dims_t dims[3], strides[3];
    dnnl_status_t bad = dnnl_success;
    layout(dims[A], strides[A], s->m, s->k, s->ra, s->ca);
    layout(dims[B], strides[B], s->k, s->n, s->rb, s->cb);
    layout(dims[C], strides[C], s->m, s->n, s->rc, 1);
    for (int i = A; i <= C && !bad; i++)
        bad = o->dnnl_memory_desc_init_by_strides(&md[i], 2, dims[i],
                                                  type_of(i == C ? s->ct : s->dt), strides[i]);
    if (!bad)
        bad = o->dnnl_matmul_desc_init(&op, &md[A], &md[B], NULL, &md[C]);
    return bad ? bad : o->dnnl_primitive_desc_create(out, &op, attr, o->engine, NULL);
}
#define APPEND_SUM(o, ops) (o)->dnnl_post_ops_append_sum(ops, 1)
#endif

/* One with the user's scratch and, if asked for, a sum; oneDNN's plain loops are not worth it. */
static void make(const weft__onednn *o, onednn_product *p)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    const char *info = "ref";
    bool bad = o->dnnl_primitive_attr_create(&attr) ||
               o->dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (!bad && p->shape.add)
        bad = o->dnnl_post_ops_create(&ops) || APPEND_SUM(o, ops) ||
              o->dnnl_primitive_attr_set_post_ops(attr, ops);
    bad = bad || describe(o, &p->shape, attr, &p->desc) ||
          o->dnnl_primitive_desc_query(p->desc, dnnl_query_impl_info_str, 0, &info);
    if (!bad && strncmp(info, "ref", 3) != 0 && !o->dnnl_primitive_create(&p->run, p->desc))
        p->scratch = o->dnnl_memory_desc_get_size(
            o->dnnl_primitive_desc_query_md(p->desc, query[SCRATCH], 0));
    if (ops)
        o->dnnl_post_ops_destroy(ops);
    if (attr)
        o->dnnl_primitive_attr_destroy(attr);
}

static void drop(const weft__onednn *o, onednn_product *p)
{
    for (int l = 0; l < ONEDNN_LANES; l++)
        for (int i = 0; i < PARTS; i++)
            if (p->memory[l][i])
                o->dnnl_memory_destroy(p->memory[l][i]);
    if (p->run)
        o->dnnl_primitive_destroy(p->run);
    if (p->desc)
        o->dnnl_primitive_desc_destroy(p->desc);
    weft__free(p);
}

/* Shapes without end: those that nobody uses now go. */
static void make_room(weft__onednn *o)
{
    for (int i = 0; i < ONEDNN_CHAINS && o->products >= MOST; i++)
        for (onednn_product **at = &o->chain[i]; *at;) {
            onednn_product *p = *at;
            if (p->users) {
                at = &p->next;
                continue;
            }
            *at = p->next;
            drop(o, p);
            o->products--;
        }
}

static onednn_product *find(weft__onednn *o, const shape *s)
{
    onednn_product **chain = &o->chain[weft__hash(WEFT__HASH, s, sizeof *s) % ONEDNN_CHAINS], *p;
    for (p = *chain; p && memcmp(&p->shape, s, sizeof *s) != 0; p = p->next)
        ;
    if (p)
        return p;
    make_room(o);
    if (!(p = weft__new(1, sizeof *p)))
        return NULL;
    p->shape = *s;
    make(o, p);
    p->next = *chain;
    *chain = p;
    o->products++;
    return p;
}

/* --- one block --- */

/* A lane of the caller's own: that of its number in the team, where no other team has it. Under the
 * lock, which it lets go to wait. */
static int take_lane(weft__onednn *o)
{
    for (int i = omp_get_thread_num();; i++) {
        const int l = i % ONEDNN_LANES;
        if (!o->lane[l].busy) {
            o->lane[l].busy = true;
            return l;
        }
        if (l == ONEDNN_LANES - 1) {
            pthread_mutex_unlock(&o->lock);
            sched_yield();
            pthread_mutex_lock(&o->lock);
        }
    }
}

/* The lane's scratch and its memory objects for p. */
static bool ready(weft__onednn *o, onednn_product *p, int l)
{
    bool bad = !o->lane[l].stream &&
               o->dnnl_stream_create(&o->lane[l].stream, o->engine, dnnl_stream_default_flags);
    if (!bad && o->lane[l].bytes < p->scratch) {
        weft__free(o->lane[l].scratch);
        o->lane[l].scratch = weft__new(p->scratch, 1);
        o->lane[l].bytes = o->lane[l].scratch ? p->scratch : 0;
        bad = !o->lane[l].scratch;
    }
    for (int i = 0; i < PARTS && !bad; i++)
        if (!p->memory[l][i])
            bad = o->dnnl_memory_create(&p->memory[l][i],
                                        o->dnnl_primitive_desc_query_md(p->desc, query[i], 0),
                                        o->engine, DNNL_MEMORY_NONE);
    return !bad;
}

static bool run(weft__onednn *o, onednn_product *p, int l, void *const at[PARTS])
{
    dnnl_exec_arg_t args[PARTS];
    bool bad = !ready(o, p, l);
    for (int i = 0; i < PARTS && !bad; i++) {
        args[i] = (dnnl_exec_arg_t){argument[i], p->memory[l][i]};
        bad = o->dnnl_memory_set_data_handle(p->memory[l][i],
                                             i == SCRATCH ? o->lane[l].scratch : at[i]);
    }
    return !bad && !o->dnnl_primitive_execute(p->run, o->lane[l].stream, PARTS, args) &&
           !o->dnnl_stream_wait(o->lane[l].stream);
}

/* Whether there is such a product; with addresses, also computes it. oneDNN's own OpenMP sees one
 * thread, now and when the product is made. */
static bool multiply(weft__onednn *o, const shape *s, void *const at[PARTS])
{
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    pthread_mutex_lock(&o->lock);
    onednn_product *p = find(o, s);
    bool good = p && p->run;
    if (good && at) {
        const int l = take_lane(o);
        p->users++;
        pthread_mutex_unlock(&o->lock);
        good = run(o, p, l, at);
        pthread_mutex_lock(&o->lock);
        p->users--;
        o->lane[l].busy = false;
    }
    pthread_mutex_unlock(&o->lock);
    omp_set_num_threads(threads);
    return good;
}

/* --- all blocks --- */

static int64_t extent(const product *p)
{
    return p->by_rows ? p->whole.m : p->whole.n;
}

/* Where block i begins: whole vectors, and about as many in each. */
static int64_t start_of(const product *p, int64_t i)
{
    return i < p->blocks ? extent(p) * i / p->blocks / CUT * CUT : extent(p);
}

static shape block_of(const product *p, int64_t i)
{
    shape s = p->whole;
    *(p->by_rows ? &s.m : &s.n) = start_of(p, i + 1) - start_of(p, i);
    return s;
}

/* By columns, unless there are few: what all blocks of rows would do over again is to pack B. */
static void choose_blocks(product *p)
{
    const shape *s = &p->whole;
    const bool large = (double)s->m * (double)s->n * (double)s->k > LARGE;
    p->by_rows = s->n < 2 * COLUMNS && s->m >= 2 * ROWS;
    p->blocks = p->by_rows ? s->m / ROWS : s->n / (s->n < 2 * COLUMNS && large ? 2 * CUT : COLUMNS);
    p->blocks = p->blocks > 1 ? p->blocks : 1;
}

/* One that fails, for lack of memory, goes by f32. */
static void blocks(const void *args, int64_t lo, int64_t hi)
{
    const product *p = args;
    const int64_t size = (int64_t)weft_dtype_size(p->whole.dt);
    const int64_t csize = (int64_t)weft_dtype_size(p->whole.ct);
    for (int64_t i = lo; i < hi; i++) {
        const shape s = block_of(p, i);
        const int64_t at = start_of(p, i);
        char *a = p->a + (p->by_rows ? at * s.ra * size : 0);
        char *b = p->b + (p->by_rows ? 0 : at * s.cb * size);
        char *c = p->c + (p->by_rows ? at * s.rc : at) * csize;
        if (!multiply(p->o, &s, (void *const[PARTS]){a, b, c}))
            weft__cpu_gemm_low(p->stream, (weft_dev){(uintptr_t)c}, s.ct, s.rc, 1,
                               (weft_dev){(uintptr_t)a}, p->lda, p->ta, (weft_dev){(uintptr_t)b},
                               p->ldb, p->tb, s.add, s.m, s.n, s.k, s.dt);
    }
}

bool weft__onednn_gemm(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                       weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                       double beta, int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    weft__onednn *o = weft__onednn_get();
    if (!o || !o->there || alpha != 1 || (beta != 0 && beta != 1) || k == 0)
        return false;
    if (n == 1 && m > 1 && ldc == 1) /* oneDNN has no good kernel for a column: C' = B' A' */
        return weft__onednn_gemm(s, c, ct, m, alpha, b, ldb, !tb, a, lda, !ta, beta, 1, m, k, dt);
    product p = {.stream = s,
                 .o = o,
                 .whole = {.m = m,
                           .n = n,
                           .k = k,
                           .ra = ta ? 1 : lda,
                           .ca = ta ? lda : 1,
                           .rb = tb ? 1 : ldb,
                           .cb = tb ? ldb : 1,
                           .rc = ldc,
                           .add = beta == 1,
                           .dt = dt,
                           .ct = ct},
                 .a = cpu_ptr(a),
                 .b = cpu_ptr(b),
                 .c = cpu_ptr(c),
                 .lda = lda,
                 .ldb = ldb,
                 .ta = ta,
                 .tb = tb};
    choose_blocks(&p);
    const shape first = block_of(&p, 0), last = block_of(&p, p.blocks - 1);
    if (!multiply(o, &first, NULL) || !multiply(o, &last, NULL))
        return false;
    weft__cpu_pieces(blocks, &p, p.blocks, 1,
                     weft__cpu_team(s->device, (double)m * (double)n * (double)k / MULTIPLY_ADDS));
    return true;
}

const char *weft__onednn_lacks(weft_device *d, weft_dtype t)
{
    weft__onednn *o = weft__onednn_get();
    const shape s = {.m = 64,
                     .n = 64,
                     .k = 64,
                     .ra = 64,
                     .ca = 1,
                     .rb = 64,
                     .cb = 1,
                     .rc = 64,
                     .dt = t,
                     .ct = WEFT_F32};
    static _Thread_local char text[200];
    (void)d;
    if (!o || !o->there)
        return o ? o->text : "there is no memory for oneDNN";
    snprintf(text, sizeof text, "%s has none", o->text);
    return multiply(o, &s, NULL) ? NULL : text;
}
#else
bool weft__onednn_gemm(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                       weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                       double beta, int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    (void)s, (void)c, (void)ct, (void)ldc, (void)alpha, (void)a, (void)lda, (void)ta, (void)b;
    (void)ldb, (void)tb, (void)beta, (void)m, (void)n, (void)k, (void)dt;
    return false;
}

const char *weft__onednn_name(void)
{
    return NULL;
}

const char *weft__onednn_lacks(weft_device *d, weft_dtype t)
{
    (void)d, (void)t;
    return "this build is without oneDNN";
}
#endif
