/* What tests of loaders share. They stand beneath the tensor floor: tensors here are plain memory,
 * made by the four functions of that floor that loaders call; fabrics are made by hand. One file of
 * a program includes it. */
#ifndef TESTS_DATA_FIXTURE_H
#define TESTS_DATA_FIXTURE_H
#include "autograd/tape.h"
#include "core/alloc.h"
#include "data/loader.h"
#include "tensor/tensor.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft/sys/state.h>

/* ---- tensors as plain memory */

struct weft_tensor {
    int rank;
    int64_t shape[WEFT_MAX_RANK];
    weft_dtype dtype;
    weft__rows rows;
    char data[1 << 16];
};

static weft_tensor pool[64];
static int pooled;

weft_tensor *weft__tensor_of(weft_fabric *f, const void *data, weft_dev near, int rank,
                             const int64_t *shape, weft_dtype dtype)
{
    weft_tensor *t = &pool[pooled++ % 64];
    size_t bytes = weft_dtype_size(dtype);
    (void)f, (void)near;
    *t = (weft_tensor){.rank = rank, .dtype = dtype};
    for (int d = 0; d < rank; d++)
        bytes *= (size_t)(t->shape[d] = shape[d]);
    ck_assert_uint_le(bytes, sizeof t->data);
    if (data)
        memcpy(t->data, data, bytes);
    return t;
}

weft_tensor *weft_tensor_of(weft_fabric *f, const void *data, int rank, const int64_t *shape,
                            weft_dtype dtype)
{
    return weft__tensor_of(f, data, (weft_dev){0}, rank, shape, dtype);
}

void weft__set_rows(weft_tensor *t, const weft__rows *rows)
{
    t->rows = *rows;
}

int weft_rank_of(weft_tensor *t)
{
    return t->rank;
}

int64_t weft_dim(weft_tensor *t, int d)
{
    return t->shape[d < 0 ? d + t->rank : d];
}

static inline double value(const weft_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case WEFT_U8:
        return ((const unsigned char *)t->data)[i];
    case WEFT_I32:
        return ((const int32_t *)t->data)[i];
    case WEFT_I64:
        return (double)((const int64_t *)t->data)[i];
    case WEFT_F32:
        return ((const float *)t->data)[i];
    default:
        return ((const double *)t->data)[i];
    }
}

/* ---- fabrics made by hand */

static inline weft_fabric *fabric(int rank, int world, weft_dtype dtype)
{
    static weft__tape tape;
    weft_fabric *f = calloc(1, sizeof *f);
    f->tape = &tape;
    f->rank = rank;
    f->world = world;
    f->dtype = dtype;
    f->seed = 42;
    snprintf(f->host, sizeof f->host, "here");
    return f;
}

static inline void drop(weft_fabric *f)
{
    while (f->objects)
        weft__object_free(f->objects);
    free(f);
}

/* f has an error of this code whose message contains text; it is forgotten. */
static inline void expect(weft_fabric *f, weft_status code, const char *text)
{
    ck_assert_msg(weft_error(f) == code, "%s expected, got %s: %s", weft_status_name(code),
                  weft_status_name(weft_error(f)), weft_message(f));
    ck_assert_msg(strstr(weft_message(f), text) != NULL, "\"%s\" is not in: %s", text,
                  weft_message(f));
    weft__sticky_clear(&f->error);
}

/* ---- files */

static char dir[200];

static inline bool make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/weft-data-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(dir) != NULL;
}

static inline const char *path_of(const char *name)
{
    static char path[32][300];
    static int turn;
    char *p = path[turn++ % 32];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static inline void remove_dir(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    if (system(command))
        fprintf(stderr, "%s is left behind\n", dir);
}

/* The whole run of a loader as text: with and without a worker, before and after a resume. */
static inline char *record(weft_loader *l, int64_t most)
{
    size_t size = 1 << 16, used = 0;
    char *text = calloc(1, size);
    weft_batch b;
    for (int64_t n = 0; n < most && weft__loader_next(l, &b); n++) {
        used +=
            (size_t)snprintf(text + used, size - used, "%lld.%lld@%lld/%lld:", (long long)b.epoch,
                             (long long)b.index, (long long)b.base, (long long)b.global_rows);
        for (int64_t i = 0; i < b.rows; i++)
            used += (size_t)snprintf(text + used, size - used, " %lld=%.17g,%.17g",
                                     b.sample ? (long long)b.sample[i] : -1, value(b.x, i),
                                     b.y ? value(b.y, i) : 0);
        used += (size_t)snprintf(text + used, size - used, "\n");
        ck_assert_uint_lt(used, size);
    }
    return text;
}

/* A visitor that keeps whole numbers in memory. A CHECK fills copies, and nothing else. */
typedef struct memory {
    weft_visitor visitor;
    int n;
    char name[8][64];
    int64_t count[8], value[8][200];
} memory;

static inline weft_status remember(weft_visitor *v, const weft_state_item *item)
{
    memory *m = (memory *)v;
    size_t bytes = (size_t)item->count * sizeof(int64_t);
    ck_assert_int_eq(item->kind, WEFT_STATE_I64);
    ck_assert_int_le(item->count, 200);
    if (v->mode == WEFT_VISIT_SAVE) {
        snprintf(m->name[m->n], sizeof m->name[0], "%s", item->name);
        m->count[m->n] = item->count;
        memcpy(m->value[m->n++], item->values, bytes);
        return WEFT_OK;
    }
    for (int i = 0; i < m->n; i++)
        if (strcmp(m->name[i], item->name) == 0) {
            if (m->count[i] != item->count)
                return weft__fail(WEFT_ECONFIG, "%s has another count", item->name);
            if (v->mode == WEFT_VISIT_LOAD || item->scratch)
                memcpy(item->values, m->value[i], bytes);
            return WEFT_OK;
        }
    return weft__fail(WEFT_EFORMAT, "no item %s", item->name);
}

static inline weft_status visit(memory *m, weft_visit_mode mode, weft_loader *l)
{
    m->visitor.mode = mode;
    m->visitor.item = remember;
    if (mode == WEFT_VISIT_SAVE)
        m->n = 0;
    return weft__loader_state(l, &m->visitor);
}

/* main of a suite of one case. */
static inline int run_suite(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    remove_dir();
    return failed != 0;
}
#endif
