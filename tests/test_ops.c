/* Every row of conform_ops.h: values and gradients against PyTorch's, against differences and over
 * strided inputs, and what wrong inputs are told. */
#include "conform_attention.h"
#include "conform_conv.h"
#include "conform_losses.h"
#include "conform_norms.h"
#include "conform_ops.h"
#include "conform_transformer.h"
#include "core/rng.h"
#include "device/cpu/half.h"
#include "golden.h"
#include "late.h"

#include <math.h>

static weft_fabric *f;

static const struct {
    const conform_row *row;
    int rows;
} tables[] = {{conform_ops, CONFORM_OPS},
              {conform_losses, CONFORM_LOSSES},
              {conform_conv, CONFORM_CONV},
              {conform_attention, CONFORM_ATTENTION},
              {conform_transformer, CONFORM_TRANSFORMER},
              {conform_norms, CONFORM_NORMS}};

/* Row i of all tables, NULL beyond the last. */
static const conform_row *row_of(int i)
{
    for (size_t k = 0; k < sizeof tables / sizeof tables[0]; i -= tables[k++].rows)
        if (i < tables[k].rows)
            return &tables[k].row[i];
    return NULL;
}

static int rows_of_all(void)
{
    int n = 0;
    while (row_of(n))
        n++;
    return n;
}

static void start(void)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = "64-true", .threads = 1)), 0);
    conform_fabric = f;
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

/* An op's inputs and what its result is weighted with; its result and gradients. */
typedef struct problem {
    int n;
    golden in[CONFORM_INPUTS], gout;
    conform_attributes a;
} problem;

typedef struct answer {
    golden out, gin[CONFORM_INPUTS];
} answer;

static void free_problem(problem *p)
{
    for (int i = 0; i < CONFORM_INPUTS; i++)
        golden_free(&p->in[i]);
    golden_free(&p->gout);
}

static void free_answer(answer *a)
{
    golden_free(&a->out);
    for (int i = 0; i < CONFORM_INPUTS; i++)
        golden_free(&a->gin[i]);
}

static bool is_label(const conform_row *row, const problem *p, int i)
{
    return row->labels && i == p->n - 1;
}

static void put(void *to, weft_dtype t, int64_t i, double v)
{
    switch (t) {
    case WEFT_F32:
        ((float *)to)[i] = (float)v;
        break;
    case WEFT_F64:
        ((double *)to)[i] = v;
        break;
    case WEFT_BF16:
        ((uint16_t *)to)[i] = half_to_bf16(v);
        break;
    case WEFT_F16:
        ((uint16_t *)to)[i] = half_to_f16(v);
        break;
    case WEFT_I32:
        ((int32_t *)to)[i] = (int32_t)v;
        break;
    case WEFT_I64:
        ((int64_t *)to)[i] = (int64_t)v;
        break;
    default:
        ((uint8_t *)to)[i] = (uint8_t)v;
        break;
    }
}

static double get(const void *from, weft_dtype t, int64_t i)
{
    switch (t) {
    case WEFT_F32:
        return ((const float *)from)[i];
    case WEFT_BF16:
        return half_wide_bf16(((const uint16_t *)from)[i]);
    case WEFT_F16:
        return half_wide_f16(((const uint16_t *)from)[i]);
    default:
        return ((const double *)from)[i];
    }
}

typedef enum layout { PLAIN, TRANSPOSED, RESHAPED, LAYOUTS } layout;

static weft_tensor *plain(const golden *g, weft_dtype t)
{
    void *data = calloc((size_t)g->n + 1, 8);
    for (int64_t i = 0; i < g->n; i++)
        put(data, t, i, g->v[i]);
    weft_tensor *x = weft_tensor_of(f, data, g->rank, g->shape, t);
    free(data);
    return x;
}

/* The same values with the last two dimensions exchanged in memory. */
static weft_tensor *turned(const golden *g, weft_dtype t)
{
    int64_t r = g->shape[g->rank - 2], c = g->shape[g->rank - 1], shape[WEFT_MAX_RANK];
    void *data = calloc((size_t)g->n + 1, 8);
    for (int64_t i = 0; i < g->n; i++)
        put(data, t, i / (r * c) * r * c + i % c * r + i / c % r, g->v[i]);
    memcpy(shape, g->shape, sizeof shape);
    shape[g->rank - 2] = c;
    shape[g->rank - 1] = r;
    weft_tensor *x = weft_tensor_of(f, data, g->rank, shape, t);
    free(data);
    return x;
}

static weft_tensor *input(const golden *g, weft_dtype t, layout l, bool gradient)
{
    const int64_t flat = -1;
    bool turn = l != PLAIN && g->rank >= 2;
    weft_tensor *x = turn ? turned(g, t) : plain(g, t);
    if (gradient)
        ck_assert_int_eq(weft_require_grad(x), 0);
    if (turn)
        x = weft_transpose(x, -1, -2);
    if (l == RESHAPED && g->n)
        x = weft_reshape(weft_reshape(x, 1, &flat), g->rank, g->shape);
    ck_assert_ptr_nonnull(x);
    if (gradient)
        ck_assert_int_eq(weft_require_grad(x), 0);
    return x;
}

static golden fetch(weft_tensor *x)
{
    golden g = {.dtype = weft_dtype_of(x), .rank = weft_rank_of(x), .n = weft_numel(x)};
    ck_assert_msg(x && g.n >= 0, "%s", weft_message(f));
    for (int d = 0; d < g.rank; d++)
        g.shape[d] = weft_dim(x, d);
    g.v = calloc((size_t)g.n + 1, sizeof *g.v);
    void *raw = calloc((size_t)g.n + 1, 8);
    size_t bytes = (size_t)g.n * weft_dtype_size(g.dtype);
    ck_assert_int_eq(weft_copy_out(x, raw, bytes), 0);
    for (int64_t i = 0; i < g.n; i++)
        g.v[i] = get(raw, g.dtype, i);
    free(raw);
    return g;
}

static weft_dtype type_of(const conform_row *row, const problem *p, int i, weft_dtype t)
{
    return is_label(row, p, i) ? p->in[i].dtype : t;
}

static answer solve(const conform_row *row, const problem *p, weft_dtype t, layout l)
{
    weft_tensor *in[CONFORM_INPUTS] = {NULL};
    answer a;
    memset(&a, 0, sizeof a);
    for (int i = 0; i < p->n; i++)
        in[i] = input(&p->in[i], type_of(row, p, i, t), l, row->gradient && !is_label(row, p, i));
    weft_tensor *out = row->apply(in, &p->a);
    ck_assert_msg(out != NULL, "%s: %s", row->name, weft_message(f));
    a.out = fetch(out);
    if (row->gradient && p->gout.v) {
        weft_tensor *gout = plain(&p->gout, t);
        ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(out, gout), WEFT_ALL)), 0);
        for (int i = 0; i < p->n; i++)
            if (!is_label(row, p, i))
                a.gin[i] = fetch(weft_gradient(in[i]));
    }
    ck_assert_int_eq(weft_step_end(f), 0);
    return a;
}

static double largest(const golden *g)
{
    double m = 0;
    for (int64_t i = 0; i < g->n; i++)
        m = fabs(g->v[i]) > m ? fabs(g->v[i]) : m;
    return m > 0 ? m : 1;
}

static void near(const char *what, const char *part, const golden *got, const golden *want,
                 double tol)
{
    ck_assert_msg(got->rank == want->rank && got->n == want->n, "%s %s: rank %d, %lld elements",
                  what, part, got->rank, (long long)got->n);
    for (int d = 0; d < want->rank; d++)
        ck_assert_int_eq(got->shape[d], want->shape[d]);
    double allowed = tol * largest(want);
    for (int64_t i = 0; i < want->n; i++)
        ck_assert_msg(fabs(got->v[i] - want->v[i]) <= allowed ||
                          (isnan(got->v[i]) && isnan(want->v[i])),
                      "%s %s[%lld]: %.17g, not %.17g (%.3g allowed)", what, part, (long long)i,
                      got->v[i], want->v[i], allowed);
}

static void same(const char *what, const answer *got, const answer *want, double tol)
{
    static const char *const part[] = {"gin0", "gin1", "gin2", "gin3", "gin4"};
    near(what, "out", &got->out, &want->out, tol);
    for (int i = 0; i < CONFORM_INPUTS; i++)
        if (want->gin[i].v)
            near(what, part[i], &got->gin[i], &want->gin[i], tol);
}

/* --- the golden file --- */

static void read_attributes(hid_t file, const char *group, conform_attributes *a)
{
    double v[WEFT_MAX_RANK];
    *a = (conform_attributes){.dim = WEFT_ALL};
    if (golden_attributes(file, group, "dim", v, 1))
        a->dim = (int)v[0];
    if (golden_attributes(file, group, "keepdim", v, 1))
        a->keepdim = v[0] != 0;
    if (golden_attributes(file, group, "alpha", v, 1))
        a->alpha = v[0];
    if (golden_attributes(file, group, "beta", v, 1))
        a->beta = v[0];
    if (golden_attributes(file, group, "relu", v, 1))
        a->relu = v[0] != 0;
    if (golden_attributes(file, group, "reduction", v, 1))
        a->sum = v[0] != 0;
    conform_read_loss(file, group, a);
    a->rank = golden_attributes(file, group, "shape", v, WEFT_MAX_RANK);
    for (int d = 0; d < a->rank; d++)
        a->shape[d] = (int64_t)v[d];
}

static golden read_part(hid_t file, const char *group, const char *part)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, part);
    return golden_has(file, path) ? golden_read(file, path) : (golden){0};
}

static problem read_problem(hid_t file, const char *group)
{
    problem p = {.n = 0};
    read_attributes(file, group, &p.a);
    for (int i = 0; i < 3; i++) {
        p.in[i] = read_part(file, group, (const char *const[]){"in0", "in1", "in2"}[i]);
        p.n += p.in[i].v != NULL;
    }
    p.gout = read_part(file, group, "gout");
    ck_assert_ptr_nonnull(p.gout.v);
    return p;
}

/* The f64 results are the truth for f32 too: their inputs are equal. */
static answer read_answer(hid_t file, const char *group)
{
    char twin[160];
    snprintf(twin, sizeof twin, "%s", group);
    char *tag = strstr(twin, "_f32");
    if (tag)
        memcpy(tag, "_f64", 4);
    answer a = {.out = read_part(file, twin, "out")};
    for (int i = 0; i < 3; i++)
        a.gin[i] = read_part(file, twin, (const char *const[]){"gin0", "gin1", "gin2"}[i]);
    ck_assert_ptr_nonnull(a.out.v);
    return a;
}

static const char *file_of(const conform_row *row)
{
    return row->file ? row->file : "ops.h5";
}

/* Runs the row on its cases of one type; how many there were. */
static int against_golden(const conform_row *row, weft_dtype t)
{
    char name[100], group[160];
    int cases = 0;
    hid_t file = golden_open(file_of(row));
    for (int i = 0; i < golden_count(file, row->golden); i++) {
        golden_name(file, row->golden, i, name, sizeof name);
        snprintf(group, sizeof group, "%s/%s", row->golden, name);
        problem p = read_problem(file, group);
        if (p.in[0].dtype == t && (!row->takes || row->takes(&p.a))) {
            answer want = read_answer(file, group), got = solve(row, &p, t, PLAIN);
            same(group, &got, &want, row->tol[t == WEFT_F64]);
            free_answer(&want);
            free_answer(&got);
            cases++;
        }
        free_problem(&p);
    }
    H5Fclose(file);
    return cases;
}

START_TEST(golden_values_and_gradients_f64)
{
    const conform_row *row = row_of(_i);
    if (row->golden)
        ck_assert_int_ge(against_golden(row, WEFT_F64), 2);
}
END_TEST

START_TEST(golden_values_and_gradients_f32)
{
    const conform_row *row = row_of(_i);
    if (row->golden)
        ck_assert_int_ge(against_golden(row, WEFT_F32), 2);
}
END_TEST

/* A case that no row takes, or two, would be a hole in the table. */
static int cases_taken_once(const char *path)
{
    char op[100], name[100], group[220];
    hid_t file = golden_open(path);
    int cases = 0;
    for (int i = 0; i < golden_count(file, "/"); i++) {
        golden_name(file, "/", i, op, sizeof op);
        for (int k = 0; k < golden_count(file, op); k++, cases++) {
            conform_attributes a;
            int takers = 0;
            snprintf(group, sizeof group, "%s/%s", op, golden_name(file, op, k, name, sizeof name));
            read_attributes(file, group, &a);
            for (int r = 0; row_of(r); r++)
                takers += row_of(r)->golden && strcmp(file_of(row_of(r)), path) == 0 &&
                          strcmp(row_of(r)->golden, op) == 0 &&
                          (!row_of(r)->takes || row_of(r)->takes(&a));
            ck_assert_msg(takers == 1, "%s: %d rows take it", group, takers);
        }
    }
    H5Fclose(file);
    return cases;
}

START_TEST(the_table_takes_every_golden_case_once)
{
    ck_assert_int_gt(cases_taken_once("ops.h5"), 100);
    ck_assert_int_gt(cases_taken_once("losses.h5"), 90);
    ck_assert_int_gt(cases_taken_once("ops-unary.h5"), 90);
    ck_assert_int_gt(cases_taken_once("ops-binary.h5"), 80);
    ck_assert_int_gt(cases_taken_once("ops-shapes.h5"), 90);
    ck_assert_int_gt(cases_taken_once("conv.h5"), 25);
    ck_assert_int_gt(cases_taken_once("pool.h5"), 40);
    ck_assert_int_gt(cases_taken_once("transformer.h5"), 25);
    ck_assert_int_gt(cases_taken_once("attention.h5"), 20);
    ck_assert_int_gt(cases_taken_once("rotary.h5"), 12);
    ck_assert_int_gt(cases_taken_once("classifier.h5"), 12);
    ck_assert_int_gt(cases_taken_once("norms.h5"), 25);
}
END_TEST

/* --- random inputs --- */

static golden of_shape(const conform_shape *s, uint64_t seed)
{
    golden g = {.dtype = WEFT_F64, .rank = s->rank, .n = 1};
    for (int d = 0; d < s->rank; d++)
        g.n *= g.shape[d] = s->extent[d];
    g.v = calloc((size_t)g.n + 1, sizeof *g.v);
    for (int64_t i = 0; i < g.n; i++)
        g.v[i] = 4 * (double)weft__uniform_f32(seed, 1, 2, (uint64_t)i) - 2;
    return g;
}

static problem draw(const conform_row *row, const conform_case *c, uint64_t seed)
{
    problem p = {.n = row->inputs, .a = c->a};
    for (int i = 0; i < p.n; i++) {
        p.in[i] = of_shape(&c->in[i], seed + (uint64_t)i);
        for (int64_t k = 0; k < p.in[i].n && row->positive; k++)
            p.in[i].v[k] = fabs(p.in[i].v[k]) + 0.25;
    }
    if (!row->labels)
        return p;
    golden *y = &p.in[p.n - 1];
    int64_t classes = p.in[0].rank ? p.in[0].shape[p.in[0].rank - 1] : 1;
    y->dtype = WEFT_I64;
    for (int64_t i = 0; i < y->n; i++)
        y->v[i] = (double)(i * 7 % classes);
    return p;
}

static bool exists(const conform_row *row, int k)
{
    return k < 6 && row->good[k].in[0].rank > 0;
}

/* Weights for a result of that shape, found by a first try. */
static void weigh(const conform_row *row, problem *p, uint64_t seed)
{
    answer a = solve(row, p, WEFT_F64, PLAIN);
    conform_shape s = {.rank = a.out.rank};
    for (int d = 0; d < s.rank; d++)
        s.extent[d] = a.out.shape[d];
    p->gout = of_shape(&s, seed);
    free_answer(&a);
}

static void over_layouts(weft_dtype t, const conform_row *row)
{
    for (int k = 0; exists(row, k); k++) {
        problem p = draw(row, &row->good[k], 10 + (uint64_t)k);
        weigh(row, &p, 99);
        answer want = solve(row, &p, t, PLAIN);
        for (layout l = TRANSPOSED; l < LAYOUTS; l++) {
            answer got = solve(row, &p, t, l);
            same(row->name, &got, &want, 0);
            free_answer(&got);
        }
        free_answer(&want);
        free_problem(&p);
    }
}

/* Bit for bit: ops either walk strides in the order of the shape or make a copy first. */
START_TEST(strided_inputs_give_what_contiguous_ones_give)
{
    over_layouts(WEFT_F64, row_of(_i));
    over_layouts(WEFT_F32, row_of(_i));
}
END_TEST

typedef struct scalar {
    const conform_row *row;
    const problem *p;
} scalar;

static weft_tensor *weighted(void *user, weft_tensor *const *x)
{
    const scalar *s = user;
    weft_tensor *in[CONFORM_INPUTS] = {NULL};
    for (int i = 0; i < s->p->n; i++)
        in[i] = is_label(s->row, s->p, i) ? plain(&s->p->in[i], WEFT_I64) : x[i];
    return weft_sum(weft_mul(s->row->apply(in, &s->p->a), plain(&s->p->gout, WEFT_F64)), WEFT_ALL);
}

START_TEST(gradients_are_those_of_differences)
{
    const conform_row *row = row_of(_i);
    for (int k = 0; row->gradient && exists(row, k); k++) {
        problem p = draw(row, &row->good[k], 20 + (uint64_t)k);
        weft_tensor *x[CONFORM_INPUTS] = {NULL};
        double worst = -1;
        weigh(row, &p, 77);
        for (int i = 0; i < p.n; i++)
            x[i] = plain(&p.in[i], WEFT_F64);
        weft_status s =
            weft_gradcheck(f, weighted, &(scalar){row, &p}, p.n - row->labels, x, 0, 0, &worst);
        ck_assert_msg(s == 0 && worst >= 0, "%s, case %d: %s", row->name, k, weft_message(f));
        free_problem(&p);
        weft_step_end(f);
    }
}
END_TEST

/* --- 16 bits --- */

static void round_to(golden *g, weft_dtype t)
{
    uint64_t raw;
    for (int64_t i = 0; i < g->n; i++) {
        put(&raw, t, 0, g->v[i]);
        g->v[i] = get(&raw, t, 0);
    }
}

static weft_dtype expected(const conform_row *row, weft_dtype low)
{
    return row->cast == WEFT_CAST_F32 || row->f32_result ? WEFT_F32 : low;
}

/* Inputs that both types hold: arithmetic in f32, results and gradients rounded. What is saved for the
 * gradient is rounded too, and so is what is summed up where an input was stretched: six halves of a
 * unit in the last place of the largest are enough for these. */
START_TEST(low_inputs_give_rounded_results)
{
    static const weft_dtype low[] = {WEFT_BF16, WEFT_F16};
    const conform_row *row = row_of(_i);
    for (int n = 0; n < 2 * 6 && row->apply != conform_cast; n++) {
        const weft_dtype t = low[n % 2];
        if (!exists(row, n / 2) || row->good[n / 2].a.weights) /* which are f64 */
            continue;
        problem p = draw(row, &row->good[n / 2], 50 + (uint64_t)n);
        weigh(row, &p, 78);
        round_to(&p.gout, t);
        for (int i = 0; i < p.n; i++)
            if (!is_label(row, &p, i))
                round_to(&p.in[i], t);
        answer want = solve(row, &p, WEFT_F64, PLAIN), got = solve(row, &p, t, PLAIN);
        if (want.out.dtype == WEFT_F64 && row->apply != conform_count_correct)
            ck_assert_msg(got.out.dtype == expected(row, t), "%s of %s gives %s", row->name,
                          weft_dtype_name(t), weft_dtype_name(got.out.dtype));
        for (int i = 0; i < CONFORM_INPUTS; i++)
            ck_assert(!got.gin[i].v || got.gin[i].dtype == t);
        same(row->name, &got, &want, t == WEFT_BF16 ? 6 * 0x1p-9 : 6 * 0x1p-12);
        free_answer(&want);
        free_answer(&got);
        free_problem(&p);
    }
}
END_TEST

static weft_dtype result_type(const conform_row *row, weft_dtype first, weft_dtype others)
{
    problem p = draw(row, &row->good[0], 60);
    weft_tensor *in[CONFORM_INPUTS] = {NULL};
    for (int i = 0; i < p.n; i++)
        in[i] = plain(&p.in[i], type_of(row, &p, i, i ? others : first));
    weft_tensor *out = row->apply(in, &p.a);
    ck_assert_msg(out != NULL, "%s: %s", row->name, weft_message(f));
    weft_dtype t = weft_dtype_of(out);
    free_problem(&p);
    ck_assert_int_eq(weft_step_end(f), 0);
    return t;
}

/* The policies: matrix products go to the low type in an autocast scope, and only there; what needs f32
 * has it; the others have the widest type of their inputs. f64 stays. */
START_TEST(mixed_precision_casts_by_the_ops_row)
{
    const conform_row *row = row_of(_i);
    weft_fabric *before = f;
    if (row->apply == conform_cast || row->apply == conform_count_correct || row->good[0].a.weights)
        return;
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.precision = "bf16-mixed", .threads = 1)),
                     0);
    conform_fabric = f;
    const bool low = row->cast == WEFT_CAST_LOW && !row->f32_result;
    const weft_dtype product = low ? WEFT_BF16 : WEFT_F32;
    ck_assert_int_eq(result_type(row, WEFT_F32, WEFT_F32), WEFT_F32);
    ck_assert_int_eq(result_type(row, WEFT_BF16, WEFT_F32),
                     row->inputs - row->labels > 1 && !row->follows ? WEFT_F32
                                                                    : expected(row, WEFT_BF16));
    weft_autocast_begin(f);
    ck_assert_int_eq(result_type(row, WEFT_F32, WEFT_F32), product);
    ck_assert_int_eq(result_type(row, WEFT_BF16, WEFT_BF16), expected(row, WEFT_BF16));
    ck_assert_int_eq(result_type(row, WEFT_F64, WEFT_F64), WEFT_F64);
    weft_autocast_end(f);
    stop();
    f = before;
}
END_TEST

/* --- what is refused --- */

static weft_tensor *attempt(const conform_row *row, const conform_case *c, weft_dtype t, bool stale)
{
    problem p = draw(row, c, 30);
    weft_tensor *in[CONFORM_INPUTS] = {NULL};
    for (int i = 0; i < p.n; i++)
        in[i] = plain(&p.in[i], type_of(row, &p, i, t));
    if (stale)
        weft_step_end(f);
    weft_tensor *out = row->apply(in, &p.a);
    free_problem(&p);
    return out;
}

/* The code sticks, the message names the op, nothing works until weft_clear, and then all does. */
static void refused(const conform_row *row, const conform_case *c, weft_dtype t, bool stale,
                    weft_status code)
{
    char text[600];
    ck_assert_msg(attempt(row, c, t, stale) == NULL, "%s was not refused", row->name);
    ck_assert_msg(weft_error(f) == code, "%s: %s, not %s: %s", row->name,
                  weft_status_name(weft_error(f)), weft_status_name(code), weft_message(f));
    ck_assert_msg(strstr(weft_message(f), row->says) != NULL, "%s: \"%s\"", row->name,
                  weft_message(f));
    snprintf(text, sizeof text, "%s", weft_message(f));
    ck_assert_ptr_null(attempt(row, &row->good[0], WEFT_F64, false));
    ck_assert_str_eq(text, weft_message(f));
    ck_assert_int_eq(weft_clear(f), 0);
    ck_assert_ptr_nonnull(attempt(row, &row->good[0], WEFT_F64, false));
    ck_assert_int_eq(weft_error(f), 0);
}

START_TEST(wrong_shapes_are_refused)
{
    const conform_row *row = row_of(_i);
    if (row->bad.in[0].rank || row->bad.in[1].rank || strstr(row->name, "softmax"))
        refused(row, &row->bad, WEFT_F64, false, WEFT_ESHAPE);
}
END_TEST

START_TEST(integers_are_refused_where_numbers_are_needed)
{
    const conform_row *row = row_of(_i);
    if (row->any_dtype)
        ck_assert_ptr_nonnull(attempt(row, &row->good[0], WEFT_U8, false));
    else
        refused(row, &row->good[0], WEFT_U8, false, WEFT_EDTYPE);
}
END_TEST

START_TEST(stale_handles_are_refused)
{
    const conform_row *row = row_of(_i);
    if (row->gradient || row->labels)
        refused(row, &row->good[0], WEFT_F64, true, WEFT_EHANDLE);
}
END_TEST

START_TEST(null_in_gives_null_out_silently)
{
    const conform_row *row = row_of(_i);
    for (int left = 0; left < row->least; left++) {
        problem p = draw(row, &row->good[0], 40);
        weft_tensor *in[CONFORM_INPUTS] = {NULL};
        for (int i = 0; i < p.n; i++)
            in[i] = i == left ? NULL : plain(&p.in[i], type_of(row, &p, i, WEFT_F64));
        ck_assert_ptr_null(row->apply(in, &p.a));
        ck_assert_int_eq(weft_error(f), 0);
        ck_assert_str_eq(weft_message(f), "");
        free_problem(&p);
    }
}
END_TEST

/* --- what the golden file does not have --- */

START_TEST(transpose_exchanges_two_dimensions)
{
    const double v[6] = {1, 2, 3, 4, 5, 6}, want[6] = {1, 4, 2, 5, 3, 6};
    double got[6];
    weft_tensor *y = weft_transpose(weft_tensor_of(f, v, 2, (int64_t[]){2, 3}, WEFT_F64), 0, -1);
    ck_assert_int_eq(weft_dim(y, 0), 3);
    ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
    ck_assert_mem_eq(got, want, sizeof got);
}
END_TEST

START_TEST(casts_round_to_the_type_and_back)
{
    const double v[3] = {1 + 0x1p-40, -2.5, 1e300};
    double got[3];
    weft_tensor *x = weft_tensor_of(f, v, 1, (int64_t[]){3}, WEFT_F64);
    weft_tensor *y = weft_cast(weft_cast(x, WEFT_F32), WEFT_F64);
    ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
    ck_assert_double_eq(got[0], 1);
    ck_assert_double_eq(got[1], -2.5);
    ck_assert(isinf(got[2]));
}
END_TEST

START_TEST(integers_become_numbers)
{
    const uint8_t v[3] = {0, 7, 255};
    float got[3];
    weft_tensor *y = weft_cast(weft_tensor_of(f, v, 1, (int64_t[]){3}, WEFT_U8), WEFT_F32);
    ck_assert_int_eq(weft_dtype_of(y), WEFT_F32);
    ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
    ck_assert(got[0] == 0 && got[1] == 7 && got[2] == 255);
}
END_TEST

START_TEST(casts_to_integers_are_refused)
{
    const weft_dtype bad[] = {WEFT_I32, WEFT_I64, WEFT_U8, (weft_dtype)99};
    for (int i = 0; i < 4; i++) {
        ck_assert_ptr_null(weft_cast(weft_full(f, 1, 0, NULL, WEFT_F64), bad[i]));
        ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
        weft_clear(f);
    }
}
END_TEST

/* The gradient of an f32 computation comes back in f64 where the leaf is f64. */
START_TEST(a_casts_gradient_has_the_inputs_type)
{
    weft_tensor *x = weft_full(f, 3, 1, (int64_t[]){2}, WEFT_F64);
    weft_require_grad(x);
    weft_tensor *y = weft_cast(x, WEFT_F32);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    golden g = fetch(weft_gradient(x));
    ck_assert_int_eq(g.dtype, WEFT_F64);
    ck_assert_double_eq(g.v[0], 6);
    golden_free(&g);
}
END_TEST

START_TEST(mixed_types_are_promoted)
{
    weft_tensor *a = weft_full(f, 1, 1, (int64_t[]){2}, WEFT_F32);
    weft_tensor *b = weft_full(f, 2, 1, (int64_t[]){2}, WEFT_F64);
    weft_tensor *c = weft_add(a, b);
    ck_assert_int_eq(weft_dtype_of(c), WEFT_F64);
    ck_assert_double_eq(weft_item(weft_mean(c, 0)), 3);
}
END_TEST

static weft_tensor *vector(const double *v, int64_t n)
{
    return weft_tensor_of(f, v, 1, &n, WEFT_F64);
}

START_TEST(comparisons_give_ones_and_zeros)
{
    static weft_tensor *(*const op[])(weft_tensor *, weft_tensor *) = {weft_eq, weft_ne, weft_lt,
                                                                       weft_le, weft_gt, weft_ge};
    const double a[4] = {1, 2, 3, NAN}, b[4] = {2, 2, 2, NAN};
    const uint8_t want[6][4] = {{0, 1, 0, 0}, {1, 0, 1, 1}, {1, 0, 0, 0},
                                {1, 1, 0, 0}, {0, 0, 1, 0}, {0, 1, 1, 0}};
    uint8_t got[4];
    for (int i = 0; i < 6; i++) {
        weft_tensor *y = op[i](vector(a, 4), vector(b, 4));
        ck_assert_int_eq(weft_dtype_of(y), WEFT_U8);
        ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
        ck_assert_mem_eq(got, want[i], sizeof got);
    }
}
END_TEST

/* 2^60 + 1 and 2^60 are one number in f64. */
START_TEST(integers_are_compared_exactly_and_with_numbers)
{
    const int64_t big[2] = {(INT64_C(1) << 60) + 1, 3}, two = 2;
    const int32_t one = 3;
    const double half = 3.5;
    uint8_t got[2];
    weft_tensor *x = weft_tensor_of(f, big, 1, &two, WEFT_I64);
    weft_tensor *power = weft_tensor_of(f, (int64_t[]){INT64_C(1) << 60}, 0, NULL, WEFT_I64);
    ck_assert_int_eq(weft_copy_out(weft_gt(x, power), got, 2), 0);
    ck_assert(got[0] == 1 && got[1] == 0);
    ck_assert_int_eq(weft_copy_out(weft_eq(x, weft_tensor_of(f, &one, 0, NULL, WEFT_I32)), got, 2),
                     0);
    ck_assert(got[0] == 0 && got[1] == 1);
    ck_assert_int_eq(weft_copy_out(weft_lt(x, weft_tensor_of(f, &half, 0, NULL, WEFT_F64)), got, 2),
                     0);
    ck_assert(got[0] == 0 && got[1] == 1);
    ck_assert_ptr_null(weft_eq(x, weft_full(f, 1, 1, (int64_t[]){3}, WEFT_I64)));
    ck_assert_int_eq(weft_error(f), WEFT_ESHAPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "eq: (2) and (3) do not broadcast"));
}
END_TEST

START_TEST(integers_are_chosen_exactly)
{
    const int64_t big = (INT64_C(1) << 60) + 1, two = 2;
    const uint8_t c[2] = {1, 0}, small[2] = {200, 100};
    int64_t got[2];
    weft_tensor *y = weft_where(weft_tensor_of(f, c, 1, &two, WEFT_U8),
                                weft_tensor_of(f, &big, 0, NULL, WEFT_I64),
                                weft_tensor_of(f, small, 1, &two, WEFT_U8));
    ck_assert_int_eq(weft_dtype_of(y), WEFT_I64);
    ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
    ck_assert(got[0] == big && got[1] == 100);
    ck_assert_ptr_null(
        weft_where(weft_tensor_of(f, c, 1, &two, WEFT_U8), y, weft_full(f, 1, 0, NULL, WEFT_F64)));
    ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
}
END_TEST

START_TEST(a_condition_is_of_type_u8)
{
    weft_tensor *x = weft_full(f, 1, 1, (int64_t[]){2}, WEFT_F64);
    ck_assert_ptr_null(weft_where(x, x, x));
    ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "where: the condition is f64"));
}
END_TEST

/* What is not taken may be anything: its gradient is 0, not NaN. */
START_TEST(what_where_leaves_out_does_not_matter)
{
    const double v[2] = {4, 0};
    double got[2];
    weft_tensor *x = vector(v, 2), *zero = weft_full(f, 0, 0, NULL, WEFT_F64);
    weft_require_grad(x);
    weft_tensor *y = weft_where(weft_gt(x, zero), weft_mul(x, x), weft_full(f, 7, 0, NULL, 0));
    ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
    ck_assert(got[0] == 16 && got[1] == 7);
    ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(x), got, sizeof got), 0);
    ck_assert(got[0] == 8 && got[1] == 0);
}
END_TEST

START_TEST(nan_is_handed_on)
{
    const double v[2] = {NAN, 1}, w[2] = {1, NAN};
    double got[2];
    weft_tensor *y[] = {weft_maximum(vector(v, 2), vector(w, 2)),
                        weft_minimum(vector(v, 2), vector(w, 2))};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(weft_copy_out(y[i], got, sizeof got), 0);
        ck_assert(isnan(got[0]) && isnan(got[1]));
    }
    ck_assert_int_eq(weft_copy_out(weft_clamp(vector(v, 2), -1, 0), got, sizeof got), 0);
    ck_assert(isnan(got[0]) && got[1] == 0);
    ck_assert_int_eq(weft_copy_out(weft_relu(vector(v, 2)), got, sizeof got), 0);
    ck_assert(isnan(got[0]) && got[1] == 1);
}
END_TEST

START_TEST(a_bound_that_is_nan_is_refused)
{
    for (int i = 0; i < 2; i++) {
        weft_tensor *x = weft_full(f, 1, 0, NULL, WEFT_F64);
        ck_assert_ptr_null(weft_clamp(x, i ? NAN : 0, i ? 1 : NAN));
        ck_assert_int_eq(weft_error(f), WEFT_EARG);
        ck_assert_ptr_nonnull(strstr(weft_message(f), "clamp: a bound is NaN"));
        weft_clear(f);
    }
}
END_TEST

/* Far out the functions are their limits, not NaN. */
START_TEST(activations_saturate)
{
    static weft_tensor *(*const op[])(weft_tensor *) = {weft_sigmoid, weft_tanh, weft_silu,
                                                        weft_gelu, weft_gelu_tanh};
    const double v[2] = {-1e4, 1e4}, want[5][2] = {{0, 1}, {-1, 1}, {0, 1e4}, {0, 1e4}, {0, 1e4}};
    for (int k = 0; k < 10; k++) {
        double got[2];
        weft_tensor *x = weft_cast(vector(v, 2), k / 5 ? WEFT_F32 : WEFT_F64);
        weft_require_grad(x);
        weft_tensor *y = op[k % 5](x);
        ck_assert_int_eq(weft_copy_out(weft_cast(y, WEFT_F64), got, sizeof got), 0);
        ck_assert_msg(got[0] == want[k % 5][0] && got[1] == want[k % 5][1], "%d: %g %g", k, got[0],
                      got[1]);
        ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
        ck_assert(isfinite(weft_item(weft_sum(weft_gradient(x), WEFT_ALL))));
    }
}
END_TEST

/* Eleven tensors are more than an op takes. */
START_TEST(any_number_of_tensors_is_joined)
{
    enum { N = 11 };
    weft_tensor *x[N];
    double got[N * (N + 1) / 2];
    int at = 0;
    for (int i = 0; i < N; i++) {
        x[i] = weft_full(f, i, 1, (int64_t[]){i + 1}, WEFT_F64);
        weft_require_grad(x[i]);
    }
    weft_tensor *y = weft_concat_n(N, x, 0);
    ck_assert_int_eq(weft_copy_out(y, got, sizeof got), 0);
    for (int i = 0; i < N; i++)
        for (int k = 0; k <= i; k++)
            ck_assert_double_eq(got[at++], i);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(weft_numel(weft_gradient(x[i])), i + 1);
        ck_assert_double_eq(weft_item(weft_mean(weft_gradient(x[i]), 0)), 2 * i);
    }
    ck_assert_double_eq(weft_item(weft_sum(weft_concat(0, x[3], x[4]), 0)), 4 * 3 + 5 * 4);
    ck_assert_int_eq(weft_dim(weft_concat(0, x[3]), 0), 4);
    ck_assert_ptr_null(weft_concat_n(0, x, 0));
    x[9] = NULL;
    ck_assert_ptr_null(weft_concat_n(N, x, 0));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(integers_are_joined_with_their_like)
{
    const int64_t v[2] = {1, INT64_MAX};
    int64_t got[4];
    weft_tensor *x = weft_tensor_of(f, v, 1, (int64_t[]){2}, WEFT_I64);
    ck_assert_int_eq(weft_copy_out(weft_concat(0, x, x), got, sizeof got), 0);
    ck_assert(got[0] == 1 && got[3] == INT64_MAX);
    ck_assert_int_eq(weft_dtype_of(weft_concat(0, weft_full(f, 1, 1, (int64_t[]){1}, WEFT_F32),
                                               weft_full(f, 1, 1, (int64_t[]){1}, WEFT_F64))),
                     WEFT_F64);
    ck_assert_ptr_null(weft_concat(0, x, weft_full(f, 1, 1, (int64_t[]){2}, WEFT_U8)));
    ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "concat: i64 with u8"));
}
END_TEST

START_TEST(a_slice_is_a_view)
{
    double v[6] = {0, 1, 2, 3, 4, 5};
    weft_tensor *x = weft_wrap(f, v, 1, (int64_t[]){6}, WEFT_F64);
    weft_tensor *y = weft_slice(x, 0, 1, INT64_MAX, 2), *z = weft_slice(y, 0, -2, -1, 1);
    v[3] = 30;
    ck_assert_int_eq(weft_numel(y), 3);
    ck_assert_double_eq(weft_item(weft_sum(y, 0)), 1 + 30 + 5);
    ck_assert_double_eq(weft_item(z), 30);
    ck_assert_int_eq(weft_numel(weft_slice(x, 0, 4, 2, 1)), 0);
    ck_assert_int_eq(weft_numel(weft_slice(x, 0, INT64_MIN, INT64_MAX, INT64_MAX)), 1);
    ck_assert_ptr_null(weft_slice(x, 0, 0, 2, 0));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "slice: step 0"));
}
END_TEST

START_TEST(an_index_outside_is_named)
{
    const int32_t index[4] = {0, 2, 3, -1};
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){2, 3}, WEFT_F64);
    ck_assert_ptr_null(
        looked_at(f, weft_gather(x, 1, weft_tensor_of(f, index, 2, (int64_t[]){2, 2}, WEFT_I32))));
    ck_assert_int_eq(weft_error(f), WEFT_EDATA);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "element 2 of the index is 3, outside 0..2"));
    weft_clear(f);
    ck_assert_ptr_null(weft_gather(x, 1, x));
    ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "gather: the index is f64"));
}
END_TEST

START_TEST(places_are_those_of_the_first)
{
    const double v[2][3] = {{1, 4, 4}, {-1, -1, NAN}};
    const uint8_t u[4] = {3, 9, 0, 9};
    int64_t at[3];
    weft_tensor *x = weft_tensor_of(f, v, 2, (int64_t[]){2, 3}, WEFT_F64);
    ck_assert_int_eq(weft_copy_out(weft_argmax(x, 1), at, 2 * sizeof *at), 0);
    ck_assert(at[0] == 1 && at[1] == 2);
    ck_assert_int_eq(weft_copy_out(weft_argmin(x, -1), at, 2 * sizeof *at), 0);
    ck_assert(at[0] == 0 && at[1] == 2);
    ck_assert_int_eq(weft_copy_out(weft_argmax(x, 0), at, sizeof at), 0);
    ck_assert(at[0] == 0 && at[1] == 0 && at[2] == 1);
    x = weft_tensor_of(f, u, 1, (int64_t[]){4}, WEFT_U8);
    ck_assert_int_eq(weft_dtype_of(weft_argmax(x, WEFT_ALL)), WEFT_I64);
    ck_assert_double_eq(weft_item(weft_argmax(x, WEFT_ALL)), 1);
    ck_assert_double_eq(weft_item(weft_argmin(x, WEFT_ALL)), 2);
    ck_assert_ptr_null(weft_argmax(weft_full(f, 1, 2, (int64_t[]){3, 0}, WEFT_F64), 1));
    ck_assert_int_eq(weft_error(f), WEFT_ESHAPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "argmax: there is no element"));
}
END_TEST

/* The gradient of equal elements goes to the first, also over all. */
START_TEST(one_of_equal_maxima_has_the_gradient)
{
    const double v[4] = {1, 7, 7, 2};
    double got[4];
    weft_tensor *x = vector(v, 4);
    weft_require_grad(x);
    ck_assert_int_eq(weft_backward(f, weft_max(x, WEFT_ALL)), 0);
    ck_assert_int_eq(weft_copy_out(weft_gradient(x), got, sizeof got), 0);
    ck_assert(got[0] == 0 && got[1] == 1 && got[2] == 0 && got[3] == 0);
}
END_TEST

/* The usual count of hits, of parts: f64 of what was u8. */
START_TEST(an_accuracy_is_made_of_parts)
{
    const double x[4][3] = {{1, 2, 3}, {3, 3, 1}, {0, 0, 0}, {9, 1, 2}};
    const uint8_t y[4] = {2, 1, 0, 0};
    weft_tensor *hit = weft_eq(weft_argmax(weft_tensor_of(f, x, 2, (int64_t[]){4, 3}, WEFT_F64), 1),
                               weft_tensor_of(f, y, 1, (int64_t[]){4}, WEFT_U8));
    ck_assert_double_eq(weft_item(weft_mean(weft_cast(hit, WEFT_F64), 0)), 0.75);
}
END_TEST

START_TEST(correct_rows_are_counted_at_the_first_maximum)
{
    const double x[4][3] = {{1, 2, 3}, {3, 3, 1}, {0, 0, 0}, {9, 1, 2}};
    const int32_t y[4] = {2, 1, 0, 0};
    weft_tensor *n = weft_count_correct(weft_tensor_of(f, x, 2, (int64_t[]){4, 3}, WEFT_F64),
                                        weft_tensor_of(f, y, 1, (int64_t[]){4}, WEFT_I32));
    ck_assert_int_eq(weft_dtype_of(n), WEFT_F64);
    ck_assert_int_eq(weft_rank_of(n), 0);
    ck_assert_double_eq(weft_item(n), 3);
}
END_TEST

START_TEST(labels_outside_the_classes_are_named)
{
    const int64_t y[2][3] = {{0, 5, 1}, {0, 1, -1}};
    const char *const said[] = {"label 5 at row 1", "label -1 at row 2"};
    for (int i = 0; i < 2; i++) {
        weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){3, 5}, WEFT_F64);
        ck_assert_ptr_null(looked_at(
            f, weft_cross_entropy(x, weft_tensor_of(f, y[i], 1, (int64_t[]){3}, WEFT_I64))));
        ck_assert_int_eq(weft_error(f), WEFT_EDATA);
        ck_assert_msg(strstr(weft_message(f), said[i]) != NULL, "\"%s\"", weft_message(f));
        ck_assert_ptr_nonnull(strstr(weft_message(f), "rank 0"));
        weft_clear(f);
    }
}
END_TEST

/* The batch has two rows, the tensor six: its rows are no samples. */
START_TEST(rows_of_a_reshape_are_no_samples)
{
    const float v[12] = {0};
    const int64_t y[6] = {0, 1, 0, 1, 0, 9};
    weft_batch b;
    weft_loader *l = weft_loader_arrays(f, 2, v, 1, (int64_t[]){6}, WEFT_F32, NULL, WEFT_F32,
                                        WEFT_LOADER(.global_batch = 2));
    ck_assert(weft_next(l, &b));
    ck_assert_ptr_null(
        looked_at(f, weft_cross_entropy(weft_reshape(b.x, 2, (int64_t[]){6, 2}),
                                        weft_tensor_of(f, y, 1, (int64_t[]){6}, WEFT_I64))));
    ck_assert_ptr_nonnull(strstr(weft_message(f), "label 9 at row 5"));
}
END_TEST

START_TEST(labels_of_a_wrong_type_are_refused)
{
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){3, 5}, WEFT_F64);
    weft_tensor *y = weft_full(f, 1, 1, (int64_t[]){3}, WEFT_F64);
    ck_assert_ptr_null(weft_cross_entropy(x, y));
    ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
    weft_clear(f);
    ck_assert_ptr_null(weft_count_correct(x, y));
    ck_assert_int_eq(weft_error(f), WEFT_EDTYPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "count_correct: labels are f64"));
}
END_TEST

START_TEST(the_mean_of_nothing_is_nan)
{
    weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){0, 4}, WEFT_F64);
    ck_assert(isnan(weft_item(weft_mean(x, WEFT_ALL))));
    ck_assert_double_eq(weft_item(weft_sum(x, WEFT_ALL)), 0);
    weft_tensor *y = weft_tensor_of(f, NULL, 1, (int64_t[]){0}, WEFT_I64);
    ck_assert(isnan(weft_item(weft_cross_entropy(x, y))));
}
END_TEST

START_TEST(impossible_shapes_are_refused)
{
    const int64_t bad[][2] = {{-2, -6}, {INT64_MAX, INT64_MAX}, {-1, -1}, {5, -1}, {INT64_MAX, 2}};
    for (int i = 0; i < 5; i++) {
        weft_tensor *x = weft_full(f, 1, 2, (int64_t[]){3, 4}, WEFT_F64);
        ck_assert_ptr_null(weft_reshape(x, 2, bad[i]));
        ck_assert_int_eq(weft_error(f), WEFT_ESHAPE);
        weft_clear(f);
    }
    ck_assert_ptr_null(weft_reshape(weft_full(f, 1, 0, NULL, WEFT_F64), WEFT_MAX_RANK + 1, bad[0]));
    ck_assert_int_eq(weft_error(f), WEFT_ESHAPE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ops");
    TCase *t = tcase_create("table"), *u = tcase_create("single");
    const int rows = rows_of_all();
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_checked_fixture(u, start, stop);
    suite_add_tcase(s, t);
    suite_add_tcase(s, u);
    tcase_add_loop_test(t, golden_values_and_gradients_f64, 0, rows);
    tcase_add_loop_test(t, golden_values_and_gradients_f32, 0, rows);
    tcase_add_loop_test(t, strided_inputs_give_what_contiguous_ones_give, 0, rows);
    tcase_add_loop_test(t, gradients_are_those_of_differences, 0, rows);
    tcase_add_loop_test(t, low_inputs_give_rounded_results, 0, rows);
    tcase_add_loop_test(t, mixed_precision_casts_by_the_ops_row, 0, rows);
    tcase_add_loop_test(t, wrong_shapes_are_refused, 0, rows);
    tcase_add_loop_test(t, integers_are_refused_where_numbers_are_needed, 0, rows);
    tcase_add_loop_test(t, stale_handles_are_refused, 0, rows);
    tcase_add_loop_test(t, null_in_gives_null_out_silently, 0, rows);
    tcase_add_test(u, the_table_takes_every_golden_case_once);
    tcase_add_test(u, transpose_exchanges_two_dimensions);
    tcase_add_test(u, casts_round_to_the_type_and_back);
    tcase_add_test(u, integers_become_numbers);
    tcase_add_test(u, casts_to_integers_are_refused);
    tcase_add_test(u, a_casts_gradient_has_the_inputs_type);
    tcase_add_test(u, mixed_types_are_promoted);
    tcase_add_test(u, comparisons_give_ones_and_zeros);
    tcase_add_test(u, integers_are_compared_exactly_and_with_numbers);
    tcase_add_test(u, integers_are_chosen_exactly);
    tcase_add_test(u, a_condition_is_of_type_u8);
    tcase_add_test(u, what_where_leaves_out_does_not_matter);
    tcase_add_test(u, nan_is_handed_on);
    tcase_add_test(u, a_bound_that_is_nan_is_refused);
    tcase_add_test(u, activations_saturate);
    tcase_add_test(u, any_number_of_tensors_is_joined);
    tcase_add_test(u, integers_are_joined_with_their_like);
    tcase_add_test(u, a_slice_is_a_view);
    tcase_add_test(u, an_index_outside_is_named);
    tcase_add_test(u, places_are_those_of_the_first);
    tcase_add_test(u, one_of_equal_maxima_has_the_gradient);
    tcase_add_test(u, an_accuracy_is_made_of_parts);
    tcase_add_test(u, correct_rows_are_counted_at_the_first_maximum);
    tcase_add_test(u, labels_outside_the_classes_are_named);
    tcase_add_test(u, rows_of_a_reshape_are_no_samples);
    tcase_add_test(u, labels_of_a_wrong_type_are_refused);
    tcase_add_test(u, the_mean_of_nothing_is_nan);
    tcase_add_test(u, impossible_shapes_are_refused);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
