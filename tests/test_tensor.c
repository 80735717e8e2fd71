/* Handles, lifetimes and copies. */
#include "core/error.h"
#include "core/rng.h"
#include "device/device.h"
#include "tensor/tensor.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>
#include <weft/sys/module.h>

static weft_fabric *f;

static void start(void)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

static weft_tensor *number(double v)
{
    return weft_full(f, v, 0, NULL, WEFT_F64);
}

/* Everything that takes a tensor refuses this one and says so. */
static void all_refuse(weft_tensor *t)
{
    double v = 7;
    ck_assert(!weft_is_valid(t));
    ck_assert_int_eq(weft_rank_of(t), 0);
    ck_assert_int_eq(weft_error(f), WEFT_EHANDLE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "stale"));
    weft_clear(f);
    ck_assert_int_eq(weft_dim(t, 0), -1);
    ck_assert_int_eq(weft_numel(t), -1);
    ck_assert_int_eq(weft_dtype_of(t), WEFT_DEFAULT);
    ck_assert(isnan(weft_item(t)));
    ck_assert_ptr_null(weft_retain(t));
    ck_assert_ptr_null(weft_detach(t));
    ck_assert_int_eq(weft_require_grad(t), WEFT_EHANDLE);
    ck_assert_int_eq(weft_copy_out(t, &v, sizeof v), WEFT_EHANDLE);
    ck_assert_int_eq(weft_copy_in(t, &v, sizeof v), WEFT_EHANDLE);
    ck_assert_double_eq(v, 7);
    ck_assert_int_eq(weft_error(f), WEFT_EHANDLE);
    weft_clear(f);
    weft_release(t);
    ck_assert_int_eq(weft_error(f), WEFT_EHANDLE);
    weft_clear(f);
}

/* --- stale handles --- */

START_TEST(handles_are_stale_after_the_edge)
{
    weft_tensor *t = number(3);
    ck_assert(weft_is_valid(t));
    ck_assert_int_eq(weft_step_end(f), 0);
    all_refuse(t);
}
END_TEST

START_TEST(they_stay_stale_while_slots_are_used_again)
{
    weft_tensor *old[300];
    for (int i = 0; i < 300; i++)
        old[i] = number(i);
    for (int k = 0; k < 1000; k++) {
        weft_step_end(f);
        for (int i = 0; i < 300; i++)
            ck_assert_ptr_nonnull(number(k));
        for (int i = 0; i < 300; i++)
            ck_assert(!weft_is_valid(old[i]));
    }
    all_refuse(old[0]);
    all_refuse(old[299]);
}
END_TEST

START_TEST(a_handle_is_never_another_tensor)
{
    weft_tensor *seen[4000];
    int n = 0;
    for (int k = 0; k < 40; k++, weft_step_end(f))
        for (int i = 0; i < 100; i++) {
            seen[n] = number(i);
            for (int j = n - 100 > 0 ? n - 100 : 0; j < n; j++)
                ck_assert_ptr_ne(seen[j], seen[n]);
            n++;
        }
}
END_TEST

START_TEST(a_released_handle_is_stale)
{
    weft_tensor *t = number(3);
    weft_release(t);
    all_refuse(t);
}
END_TEST

START_TEST(null_is_released_silently)
{
    weft_release(NULL);
    ck_assert_int_eq(weft_error(f), 0);
    ck_assert(!weft_is_valid(NULL));
}
END_TEST

START_TEST(handles_of_a_closed_fabric_do_nothing)
{
    weft_fabric *g;
    double v = 7;
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    weft_tensor *t = weft_retain(weft_full(g, 3, 0, NULL, WEFT_F64));
    ck_assert_double_eq(weft_item(t), 3);
    ck_assert_int_eq(weft_close(&g), 0);
    ck_assert(!weft_is_valid(t));
    ck_assert(isnan(weft_item(t)));
    ck_assert_int_eq(weft_copy_out(t, &v, sizeof v), WEFT_EHANDLE);
    ck_assert_ptr_null(weft_relu(t));
    ck_assert_ptr_null(weft_add(number(1), t));
    ck_assert_int_eq(weft_backward(f, t), WEFT_EHANDLE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "stale"));
}
END_TEST

/* The next fabric gets the place of the closed one, but not its handles. */
START_TEST(the_next_fabric_does_not_know_them)
{
    weft_tensor *old[3];
    for (int k = 0; k < 3; k++) {
        weft_fabric *g;
        ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
        old[k] = weft_retain(weft_full(g, k, 0, NULL, WEFT_F64));
        for (int j = 0; j < k; j++)
            ck_assert(!weft_is_valid(old[j]));
        ck_assert(weft_is_valid(old[k]));
        ck_assert_int_eq(weft_error(g), 0);
        ck_assert_int_eq(weft_close(&g), 0);
    }
}
END_TEST

START_TEST(random_handles_do_not_crash)
{
    weft_tensor *live = number(1);
    int hits = 0;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t r = weft__uniform_below(5, 6, 0, i, UINT64_MAX);
        uintptr_t bits = (uintptr_t)(i % 4 == 0   ? r
                                     : i % 4 == 1 ? r >> 40
                                     : i % 4 == 2 ? (uintptr_t)live ^ (1ull << r % 64)
                                                  : (uintptr_t)live + (uintptr_t)r % 4096 - 2048);
        weft_tensor *t = (weft_tensor *)bits;
        if (t == live)
            continue;
        hits += weft_is_valid(t);
        weft_item(t);
        weft_relu(t);
    }
    ck_assert_int_eq(hits, 0);
    ck_assert_int_eq(weft_error(f), WEFT_EHANDLE);
    weft_clear(f);
    ck_assert_double_eq(weft_item(live), 1);
}
END_TEST

/* --- two fabrics --- */

START_TEST(fabrics_do_not_mix)
{
    weft_fabric *g;
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    weft_tensor *a = number(1), *b = weft_full(g, 2, 0, NULL, WEFT_F64);
    ck_assert_ptr_null(weft_add(a, b));
    ck_assert_int_eq(weft_error(f), WEFT_EHANDLE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "add: input 1 belongs to another fabric"));
    ck_assert_int_eq(weft_error(g), 0);
    ck_assert_double_eq(weft_item(weft_add(b, b)), 4);
    ck_assert_int_eq(weft_close(&g), 0);
}
END_TEST

START_TEST(edges_belong_to_their_fabric)
{
    weft_fabric *g;
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = 1)), 0);
    weft_tensor *a = number(1), *b = weft_full(g, 2, 0, NULL, WEFT_F64);
    weft_step_end(g);
    ck_assert(weft_is_valid(a));
    ck_assert(!weft_is_valid(b));
    ck_assert_double_eq(weft_item(a), 1);
    weft_item(b);
    ck_assert_int_eq(weft_error(g), WEFT_EHANDLE);
    ck_assert_int_eq(weft_error(f), 0);
    ck_assert_int_eq(weft_close(&g), -WEFT_EHANDLE);
}
END_TEST

/* --- lifetimes --- */

START_TEST(retain_copies_and_keeps)
{
    weft_tensor *t = number(3), *kept = weft_retain(t);
    ck_assert_ptr_ne(t, kept);
    weft_copy_in(t, &(double){4}, sizeof(double));
    for (int i = 0; i < 3; i++) {
        weft_step_end(f);
        ck_assert_double_eq(weft_item(kept), 3);
    }
    weft_release(kept);
    all_refuse(kept);
}
END_TEST

START_TEST(retain_makes_views_contiguous)
{
    const double v[6] = {1, 2, 3, 4, 5, 6}, want[6] = {1, 4, 2, 5, 3, 6};
    double got[6];
    weft_tensor *t = weft_tensor_of(f, v, 2, (int64_t[]){2, 3}, WEFT_F64);
    weft_tensor *kept = weft_retain(weft_transpose(t, 0, 1));
    weft_step_end(f);
    ck_assert_int_eq(weft_dim(kept, 0), 3);
    ck_assert_int_eq(weft_dim(kept, -1), 2);
    ck_assert_int_eq(weft_dim(kept, 2), -1);
    ck_assert_int_eq(weft_copy_out(kept, got, sizeof got), 0);
    ck_assert_mem_eq(got, want, sizeof got);
    weft_release(kept);
}
END_TEST

START_TEST(nothing_can_be_retained)
{
    weft_tensor *kept = weft_retain(weft_full(f, 1, 2, (int64_t[]){0, 3}, WEFT_F32));
    weft_step_end(f);
    ck_assert_int_eq(weft_numel(kept), 0);
    ck_assert_int_eq(weft_rank_of(kept), 2);
    ck_assert_int_eq(weft_copy_out(kept, NULL, 0), 0);
    weft_release(kept);
}
END_TEST

START_TEST(detach_shares_memory)
{
    weft_tensor *t = number(3), *d = weft_detach(t);
    weft_copy_in(t, &(double){4}, sizeof(double));
    ck_assert_double_eq(weft_item(d), 4);
}
END_TEST

START_TEST(parameters_are_not_released)
{
    weft_module *m = weft_nn_linear(f, 2, 3);
    weft_tensor *w = weft_param(m, "weight");
    weft_release(w);
    ck_assert(weft_is_valid(w));
    ck_assert_int_eq(weft_numel(w), 6);
}
END_TEST

static weft_tensor *early;

static weft_tensor *forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return x;
}

static const weft_module_ops ops = {.size = sizeof ops, .name = "one", .forward = forward};

/* Before setup a parameter is a shape without memory. */
START_TEST(parameters_without_memory_are_refused)
{
    double v;
    weft_module *m = weft_module_new(f, &ops, NULL, 0);
    early = weft_module_param(m, "p", 0, NULL, WEFT_CONSTANT(1));
    ck_assert_int_eq(weft_numel(early), 1);
    ck_assert(isnan(weft_item(early)));
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
    weft_clear(f);
    ck_assert_ptr_null(weft_retain(early));
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
    weft_clear(f);
    ck_assert_ptr_null(weft_detach(early));
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
    weft_clear(f);
    ck_assert_ptr_null(weft_cast(early, WEFT_F64));
    ck_assert_int_eq(weft_error(f), WEFT_ESTATE);
    weft_clear(f);
    ck_assert_int_eq(weft_copy_out(early, &v, 4), WEFT_ESTATE);
}
END_TEST

/* --- values --- */

START_TEST(wrap_is_zero_copy)
{
    float v[2][3] = {{1, 2, 3}, {4, 5, 6}};
    weft_tensor *t = weft_wrap(f, v, 2, (int64_t[]){2, 3}, WEFT_F32);
    v[1][2] = 60;
    ck_assert_double_eq(weft_item(weft_sum(t, WEFT_ALL)), 75);
    ck_assert_int_eq(weft_copy_in(t, (float[6]){1, 1, 1, 1, 1, 1}, 24), 0);
    ck_assert_double_eq(weft_item(weft_sum(t, WEFT_ALL)), 6); /* waits */
    ck_assert(v[1][2] == 1 && v[0][0] == 1);
    weft_step_end(f);
    ck_assert(v[1][2] == 1);
}
END_TEST

static int imports;
static const weft_device_ops *real;

static weft_status import_counted(weft_device *d, void *p, size_t bytes, weft_dev *out)
{
    if (imports == 2)
        return weft__fail(WEFT_ENOMEM, "no more");
    imports++;
    return real->import(d, p, bytes, out);
}

static void unimport_counted(weft_device *d, weft_dev p, size_t bytes)
{
    real->unimport(d, p, bytes);
    imports -= p.addr && bytes == 8 ? 1 : 100;
}

/* What the device was lent is given back at the edge, released or not. */
START_TEST(wrap_lends_memory_to_the_device)
{
    real = f->device->ops;
    weft_device_ops o = *real;
    o.import = import_counted, o.unimport = unimport_counted;
    f->device->ops = &o;
    float v[2] = {1, 2};
    weft_tensor *t = weft_wrap(f, v, 1, (int64_t[]){2}, WEFT_F32);
    weft_tensor *y = weft_relu(t);
    weft_release(t);
    ck_assert(y && weft_wrap(f, v, 1, (int64_t[]){2}, WEFT_F32) && imports == 2);
    ck_assert(!weft_wrap(f, v, 1, (int64_t[]){2}, WEFT_F32) && weft_error(f) == WEFT_ENOMEM);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "weft_wrap: no more; copy with"));
    weft_clear(f);
    weft_step_end(f);
    ck_assert_int_eq(imports, 0);
    o.import = NULL, o.unimport = NULL;
    ck_assert(!weft_wrap(f, v, 1, (int64_t[]){2}, WEFT_F32) && weft_error(f) == WEFT_ENOTSUP);
    weft_clear(f);
    f->device->ops = real;
}
END_TEST

static int uploads;

static weft_status upload_counted(weft_stream *s, weft_dev dst, const void *src, size_t bytes)
{
    uploads++;
    return real->upload(s, dst, src, bytes);
}

/* Slots that are written again two edges after they were read hold what was read. */
START_TEST(pinned_memory_is_read_beside_the_program)
{
    enum { SLOTS = 2, MANY = 1000, STEPS = 30 };
    static float v[SLOTS + 1][MANY];
    weft_tensor *sum[STEPS];
    real = f->device->ops;
    weft_device_ops o = *real;
    o.upload = upload_counted;
    f->device->ops = &o;
    uploads = 0;
    ck_assert_int_eq(weft_pin_memory(f, v, SLOTS * sizeof v[0]), 0);
    for (int i = 0; i < STEPS; i++) {
        for (int k = 0; k < MANY; k++)
            v[i % SLOTS][k] = (float)i;
        sum[i] = weft_retain(
            weft_sum(weft_tensor_of(f, v[i % SLOTS], 1, (int64_t[]){MANY}, WEFT_F32), WEFT_ALL));
        ck_assert_int_eq(weft_step_end(f), 0);
    }
    ck_assert_int_eq(uploads, real->immediate ? STEPS : 0);
    for (int i = 0; i < STEPS; i++)
        ck_assert_double_eq(weft_item(sum[i]), (double)i * MANY);
    weft_tensor *out = weft_tensor_of(f, v[SLOTS - 1], 1, (int64_t[]){2 * MANY}, WEFT_F32);
    ck_assert(out && uploads == (real->immediate ? STEPS + 1 : 1)); /* not all of it is pinned */
    ck_assert_int_eq(weft_unpin_memory(f, v), 0);
    ck_assert(weft_tensor_of(f, v, 1, (int64_t[]){MANY}, WEFT_F32));
    ck_assert_int_eq(uploads, real->immediate ? STEPS + 2 : 2);
    ck_assert_int_eq(weft_pin_memory(f, v, sizeof v), 0); /* weft_close takes it back */
    weft_step_end(f);
    f->device->ops = real;
}
END_TEST

/* Two that share a page: a GPU's driver knows pages, and copies nothing that reaches from one to the next. */
START_TEST(pinned_memory_may_share_pages)
{
    enum { PAGE = 4096, FLOATS = 2 * PAGE / sizeof(float) };
    char *const all = aligned_alloc(PAGE, 4 * PAGE), *const two = all + PAGE + PAGE / 2;
    float *const v = (float *)(void *)two;
    for (size_t i = 0; i < FLOATS; i++)
        v[i] = 1;
    ck_assert_int_eq(weft_pin_memory(f, all, (size_t)(two - all)), 0);
    ck_assert_int_eq(weft_pin_memory(f, two, FLOATS * sizeof *v), 0);
    weft_tensor *t = weft_tensor_of(f, v, 1, (int64_t[]){FLOATS}, WEFT_F32);
    ck_assert_double_eq(weft_item(weft_sum(t, WEFT_ALL)), FLOATS);
    ck_assert_int_eq(weft_unpin_memory(f, all), 0);
    ck_assert_int_eq(weft_unpin_memory(f, two), 0);
    free(all);
}
END_TEST

START_TEST(wrapping_nothing_is_refused)
{
    ck_assert_ptr_null(weft_wrap(f, NULL, 1, (int64_t[]){3}, WEFT_F32));
    ck_assert_int_eq(weft_error(f), WEFT_EARG);
    weft_clear(f);
    ck_assert_ptr_nonnull(weft_wrap(f, NULL, 1, (int64_t[]){0}, WEFT_F32));
}
END_TEST

START_TEST(values_are_copied_in_and_out)
{
    const int32_t v[4] = {1, -2, 3, INT32_MIN};
    int32_t got[4];
    weft_tensor *t = weft_tensor_of(f, v, 1, (int64_t[]){4}, WEFT_I32);
    ck_assert_int_eq(weft_copy_out(t, got, sizeof got), 0);
    ck_assert_mem_eq(got, v, sizeof got);
}
END_TEST

START_TEST(no_values_are_zeros)
{
    double got[4] = {1, 1, 1, 1};
    weft_tensor *t = weft_tensor_of(f, NULL, 1, (int64_t[]){4}, WEFT_F64);
    ck_assert_int_eq(weft_copy_out(t, got, sizeof got), 0);
    ck_assert(got[0] == 0 && got[3] == 0);
}
END_TEST

START_TEST(bytes_must_be_exact)
{
    double v[4] = {0};
    weft_tensor *t = weft_tensor_of(f, v, 1, (int64_t[]){3}, WEFT_F64);
    const size_t bad[] = {0, 12, 23, 25, 32};
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(weft_copy_out(t, v, bad[i]), WEFT_EARG);
        weft_clear(f);
        ck_assert_int_eq(weft_copy_in(t, v, bad[i]), WEFT_EARG);
        weft_clear(f);
    }
}
END_TEST

START_TEST(copies_into_views_reach_the_right_elements)
{
    const double v[6] = {1, 4, 2, 5, 3, 6}, want[6] = {1, 2, 3, 4, 5, 6};
    double got[6];
    weft_tensor *t = weft_tensor_of(f, NULL, 2, (int64_t[]){2, 3}, WEFT_F64);
    ck_assert_int_eq(weft_copy_in(weft_transpose(t, 0, 1), v, sizeof v), 0);
    ck_assert_int_eq(weft_copy_out(t, got, sizeof got), 0);
    ck_assert_mem_eq(got, want, sizeof got);
}
END_TEST

START_TEST(full_in_every_type)
{
    const weft_dtype t[] = {WEFT_F32, WEFT_F64, WEFT_F16, WEFT_BF16, WEFT_I32, WEFT_I64, WEFT_U8};
    for (int i = 0; i < 7; i++) {
        weft_tensor *x = weft_full(f, 7, 3, (int64_t[]){1, 1, 1}, t[i]);
        ck_assert_int_eq(weft_dtype_of(x), t[i]);
        ck_assert_double_eq(weft_item(x), 7);
    }
}
END_TEST

START_TEST(the_default_type_is_the_fabrics)
{
    weft_fabric *g;
    ck_assert_int_eq(weft_dtype_of(weft_full(f, 1, 0, NULL, WEFT_DEFAULT)), WEFT_F32);
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.precision = "64-true", .threads = 1)), 0);
    ck_assert_int_eq(weft_dtype_of(weft_full(g, 1, 0, NULL, WEFT_DEFAULT)), WEFT_F64);
    ck_assert_int_eq(weft_close(&g), 0);
}
END_TEST

START_TEST(an_item_is_one_element)
{
    ck_assert(isnan(weft_item(weft_full(f, 1, 1, (int64_t[]){2}, WEFT_F32))));
    ck_assert_int_eq(weft_error(f), WEFT_ESHAPE);
    weft_clear(f);
    ck_assert(isnan(weft_item(NULL)));
    ck_assert_int_eq(weft_error(f), 0);
}
END_TEST

START_TEST(impossible_tensors_are_refused)
{
    static const struct {
        int rank;
        int64_t shape[3];
        weft_dtype dtype;
        weft_status code;
    } bad[] = {{-1, {1}, WEFT_F32, WEFT_ESHAPE},
               {9, {1}, WEFT_F32, WEFT_ESHAPE},
               {1, {-1}, WEFT_F32, WEFT_ESHAPE},
               {2, {INT64_MAX, 2}, WEFT_F32, WEFT_ESHAPE},
               {2, {(int64_t)1 << 31, (int64_t)1 << 30}, WEFT_F64, WEFT_ESHAPE},
               {3, {0, INT64_MAX, INT64_MAX}, WEFT_U8, WEFT_ESHAPE},
               {1, {1}, (weft_dtype)42, WEFT_EDTYPE},
               {1, {INT64_MAX}, WEFT_U8, WEFT_ENOMEM}};
    for (int i = 0; i < 8; i++) {
        ck_assert_ptr_null(weft_full(f, 1, bad[i].rank, bad[i].shape, bad[i].dtype));
        ck_assert_msg(weft_error(f) == bad[i].code, "%d: %s", i, weft_message(f));
        weft_clear(f);
    }
}
END_TEST

/* The arena becomes one chunk of the step's size, and addresses repeat. */
START_TEST(a_steady_step_uses_the_same_memory)
{
    const void *at[3];
    for (int k = 0; k < 6; k++) {
        for (int i = 0; i < 30; i++)
            weft_full(f, i, 1, (int64_t[]){100000}, WEFT_F64);
        weft_tensor *last = weft_full(f, 1, 1, (int64_t[]){100000}, WEFT_F64);
        if (k >= 3)
            at[k - 3] = (void *)weft__tensor_at(last, NULL)->view.data.addr;
        weft_step_end(f);
        ck_assert_int_eq(f->engine->chunks, 1);
    }
    ck_assert_ptr_eq(at[0], at[1]);
    ck_assert_ptr_eq(at[1], at[2]);
}
END_TEST

static void add_handles(TCase *t)
{
    tcase_add_test(t, handles_are_stale_after_the_edge);
    tcase_add_test(t, they_stay_stale_while_slots_are_used_again);
    tcase_add_test(t, a_handle_is_never_another_tensor);
    tcase_add_test(t, a_released_handle_is_stale);
    tcase_add_test(t, null_is_released_silently);
    tcase_add_test(t, handles_of_a_closed_fabric_do_nothing);
    tcase_add_test(t, the_next_fabric_does_not_know_them);
    tcase_add_test(t, random_handles_do_not_crash);
    tcase_add_test(t, fabrics_do_not_mix);
    tcase_add_test(t, edges_belong_to_their_fabric);
}

static void add_values(TCase *t)
{
    tcase_add_test(t, retain_copies_and_keeps);
    tcase_add_test(t, retain_makes_views_contiguous);
    tcase_add_test(t, nothing_can_be_retained);
    tcase_add_test(t, detach_shares_memory);
    tcase_add_test(t, parameters_are_not_released);
    tcase_add_test(t, parameters_without_memory_are_refused);
    tcase_add_test(t, wrap_is_zero_copy);
    tcase_add_test(t, wrap_lends_memory_to_the_device);
    tcase_add_test(t, pinned_memory_is_read_beside_the_program);
    tcase_add_test(t, pinned_memory_may_share_pages);
    tcase_add_test(t, wrapping_nothing_is_refused);
    tcase_add_test(t, values_are_copied_in_and_out);
    tcase_add_test(t, no_values_are_zeros);
    tcase_add_test(t, bytes_must_be_exact);
    tcase_add_test(t, copies_into_views_reach_the_right_elements);
    tcase_add_test(t, full_in_every_type);
    tcase_add_test(t, the_default_type_is_the_fabrics);
    tcase_add_test(t, an_item_is_one_element);
    tcase_add_test(t, impossible_tensors_are_refused);
    tcase_add_test(t, a_steady_step_uses_the_same_memory);
}

int main(void)
{
    Suite *s = suite_create("tensor");
    TCase *t = tcase_create("tensor");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    add_handles(t);
    add_values(t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
