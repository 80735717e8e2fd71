/* The cpu's kernels, late. For each line of the list: the record of its arguments, what runs it on
 * the addresses where kernels work, and what puts it into the queue. Arrays of the host's are copied
 * behind the record, which knows where they lie in it; in a graph a struct may lie on the device. */
#include "device/cpu/cpu.h"
#include "device/mock/mock.h"

#include <string.h>

#define ALIGN 16

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Copies an array to the record's byte *end, and moves that on. @return where it is, 0: there is none. */
static size_t keep(void *record, size_t *end, const void *array, size_t bytes)
{
    const size_t at = *end;
    if (!array)
        return 0;
    memcpy((char *)record + at, array, bytes);
    *end += rounded(bytes);
    return at;
}

/* Addresses inside of what was copied. */
static void in_xent(weft__mock *m, const char *kernel, weft_xent_terms *o, weft_status *s)
{
    weft__mock_reach(m, kernel, "weight", o->weight, &o->weight, s);
    weft__mock_reach(m, kernel, "divisor", o->divisor, &o->divisor, s);
}

static void in_loss(weft__mock *m, const char *kernel, weft_loss_terms *o, weft_status *s)
{
    weft__mock_reach(m, kernel, "weight", o->weight, &o->weight, s);
}

static void in_others(weft__mock *m, const char *kernel, void *array, weft_status *s)
{
    (void)m, (void)kernel, (void)array, (void)s;
}

#define NOTHING_D(name)
#define NOTHING_V(type, name)

#define MEMBER_D(name) weft_dev name;
#define MEMBER_V(type, name) type name;
#define MEMBER_A(type, name, count) size_t name;

#define PASS_D(name) , r->name
#define PASS_V(type, name) , r->name
#define PASS_A(type, name, count)                                                                  \
    , r->name ? (const type *)(const void *)(r->live_.addr && LIVES(type)                          \
                                                 ? (const char *)r->live_.addr                     \
                                                 : (const char *)r + r->name)                      \
              : NULL
#define LIVES(type) _Generic((type *)NULL, int64_t * : false, default : true)

#define BYTES_A(type, name, count) +rounded((name) ? sizeof(type) * (size_t)(count) : 0)

/* Names that end in _ are those of no argument. */
/* clang-format off */
#define KEEP_D(name) weft__mock_reach(mock_, kernel_, #name, name, &record_->name, &status_);
#define KEEP_V(type, name) record_->name = name;
#define KEEP_A(type, name, count)                                                                  \
    record_->name = keep(record_, &end_, name, sizeof(type) * (size_t)(count));                    \
    if (record_->name)                                                                             \
        REACH_INSIDE((type *)(void *)((char *)record_ + record_->name));
#define REACH_INSIDE(array)                                                                        \
    _Generic((array), weft_xent_terms *: in_xent, weft_loss_terms *: in_loss, default: in_others)  \
        (mock_, kernel_, array, &status_)

#define QUEUED(name)                                                                               \
    typedef struct name##_record {                                                                 \
        weft_dev live_;                                                                            \
        WEFT_ARGS_##name(MEMBER_D, MEMBER_V, MEMBER_A)                                             \
    } name##_record;                                                                               \
    static weft_status run_##name(weft_stream *s, const void *record)                              \
    {                                                                                              \
        const name##_record *r = record;                                                           \
        return weft__cpu_##name(s WEFT_ARGS_##name(PASS_D, PASS_V, PASS_A));                       \
    }                                                                                              \
    static weft_status queue_##name(WEFT_KERNEL_ARGS(name))                                        \
    {                                                                                              \
        static const char kernel_[] = #name;                                                       \
        weft__mock *mock_ = s->device->self;                                                       \
        size_t end_ = rounded(sizeof(name##_record));                                              \
        name##_record *record_ =                                                                   \
            weft__mock_begin(s, end_ WEFT_ARGS_##name(NOTHING_D, NOTHING_V, BYTES_A));             \
        weft_status status_ = record_ ? WEFT_OK : WEFT_ENOMEM;                                     \
        if (record_) {                                                                             \
            weft__mock_reach(mock_, kernel_, "live", s->live, &record_->live_, &status_);          \
            WEFT_ARGS_##name(KEEP_D, KEEP_V, KEEP_A)                                               \
        }                                                                                          \
        return weft__mock_put(s, status_, run_##name, end_);                                       \
    }
/* clang-format on */

WEFT_KERNEL_LIST(QUEUED)

const weft_kernels weft__mock_kernels = {
#define ENTRY(name) .name = queue_##name,
    WEFT_KERNEL_LIST(ENTRY)
#undef ENTRY
};
