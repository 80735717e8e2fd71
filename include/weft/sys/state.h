/* The state visitor. Everything with state answers state(self, visitor) by naming each of its
 * items; saving, checking, loading, digests, inspection and memory accounting are visitors. The
 * same code runs in every direction:
 *
 *     weft_status state(void *self, weft_visitor *v)
 *     {
 *         struct mine *m = self;
 *         weft_status s = weft_state_i64(v, "count", &m->count);
 *         return s ? s : weft_state_f64(v, "best", &m->best);
 *     }
 */
#ifndef WEFT_SYS_STATE_H
#define WEFT_SYS_STATE_H
#include <weft/base.h>
#include <weft/status.h>
WEFT_BEGIN

/* An address in a device's memory. A struct, so that the host cannot dereference it. */
typedef struct weft_dev {
    uintptr_t addr;
} weft_dev;

/* Who holds an item's values. */
typedef enum weft_placement {
    WEFT_REPLICATED, /* all ranks alike: they share the writing */
    WEFT_SHARDED,    /* each rank holds the slabs that it lists */
    WEFT_PER_RANK,   /* each rank its own; refused on another number of ranks */
    WEFT_ROOT        /* rank 0's count; all ranks get them on loading */
} weft_placement;

/* A run of elements of a tensor in row-major order, and where this rank keeps them. */
typedef struct weft_slab {
    int64_t first; /* element of the whole tensor */
    int64_t count; /* elements, may be 0 */
    weft_dev data; /* in the memory of the item's device; or */
    void *host;    /* in host memory, if not NULL */
} weft_slab;

typedef enum weft_state_kind {
    WEFT_STATE_TENSOR,
    WEFT_STATE_I64,
    WEFT_STATE_F64,
    WEFT_STATE_TEXT
} weft_state_kind;

/* One item. Tensors: dtype, global shape, and this rank's slabs, ascending. I64 and F64: `count`
 * host values at `values` (placement ROOT or PER_RANK). TEXT: `text` of `capacity` bytes. */
typedef struct weft_state_item {
    const char *name; /* unique within the visitor's current scope */
    weft_state_kind kind;
    weft_placement placement;
    weft_dtype dtype;
    int rank;
    int64_t shape[WEFT_MAX_RANK];
    int nslabs;
    const weft_slab *slabs;
    void *values;
    int64_t count;
    char *text;
    size_t capacity;
    bool scratch; /* values or text are copies, to be compared: a CHECK fills them as a LOAD does */
    bool optional; /* a checkpoint may lack it, and leaves it as it is then */
} weft_state_item;

typedef enum weft_visit_mode {
    WEFT_VISIT_SAVE,  /* the visitor reads the item */
    WEFT_VISIT_CHECK, /* the visitor verifies that what it holds would fit; nothing changes */
    WEFT_VISIT_LOAD   /* the visitor overwrites the item; cannot fail after a CHECK */
} weft_visit_mode;

typedef struct weft_visitor weft_visitor;
struct weft_visitor {
    weft_visit_mode mode;
    char scope[512]; /* "model/" and so on, put before every name */
    weft_status (*item)(weft_visitor *v, const weft_state_item *item);
};

/* Enters and leaves a scope: names inside become "outer/name/...". */
WEFT_API weft_status weft_state_enter(weft_visitor *v, const char *name);
WEFT_API void weft_state_leave(weft_visitor *v);
/* The common items, placement ROOT. */
WEFT_API weft_status weft_state_i64(weft_visitor *v, const char *name, int64_t *value);
WEFT_API weft_status weft_state_f64(weft_visitor *v, const char *name, double *value);
WEFT_API weft_status weft_state_text(weft_visitor *v, const char *name, char *text,
                                     size_t capacity);

WEFT_END
#endif
