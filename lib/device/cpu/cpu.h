/* What the kernels of the CPU share: addresses, dispatch by type, and the one place that forks.
 *
 * A kernel is a body over a range of its elements (or rows), written once for all types: the file of
 * a family reads itself again through typed.h with T = float, T = double and those of 16 bits. A body
 * must give the same bits however its range is cut. */
#ifndef DEVICE_CPU_CPU_H
#define DEVICE_CPU_CPU_H
#include "core/error.h"
#include "core/process.h"
#include "device/device.h"

typedef void weft__cpu_body(const void *args, int64_t lo, int64_t hi);

/* The sets of vector instructions that bodies are compiled for; typed.h. */
#if defined(__x86_64__) && defined(__GNUC__)
#define CPU_SETS 3
#define CPU_EACH_SET(name)                                                                         \
    {                                                                                              \
        name##_plain, name##_avx2, name##_avx512                                                   \
    }
#else
#define CPU_SETS 1
#define CPU_EACH_SET(name)                                                                         \
    {                                                                                              \
        name##_plain                                                                               \
    }
#endif
#define CPU_NAME(name, set) CPU_PASTE(name, set)
#define CPU_PASTE(name, set) name##_##set

/* A part of a body that is compiled anew for the constants that it is called with, or a function of one
 * element that must become part of the loop for vectors to be made of it. */
#define CPU_INLINE __attribute__((always_inline)) static inline

/* The bodies of a kernel, with its name for messages; NULL: not of that type. */
typedef struct weft__cpu_kernel {
    const char *name;
    weft__cpu_body *f32[CPU_SETS], *f64[CPU_SETS], *bf16[CPU_SETS], *f16[CPU_SETS], *i64[CPU_SETS];
} weft__cpu_kernel;
#define CPU_TWO(name) .f32 = CPU_EACH_SET(name##_f32), .f64 = CPU_EACH_SET(name##_f64)
#define CPU_FOUR(name)                                                                             \
    CPU_TWO(name), .bf16 = CPU_EACH_SET(name##_bf16), .f16 = CPU_EACH_SET(name##_f16)
#define CPU_PAIR(of) (&(const weft__cpu_kernel){.name = #of, CPU_TWO(of)})
#define CPU_FLOATS(of) (&(const weft__cpu_kernel){.name = #of, CPU_FOUR(of)})
#define CPU_NUMBERS(of)                                                                            \
    (&(const weft__cpu_kernel){.name = #of, CPU_FOUR(of), .i64 = CPU_EACH_SET(of##_i64)})
/* The body for numbers of a type, with the vectors of a device. NULL: not of that type. */
weft__cpu_body *weft__cpu_pick(const weft_device *d, const weft__cpu_kernel *k, weft_dtype dt);

/* Numbers one behind the other, from one type to another; and a body over them, its args. */
typedef struct weft__cpu_cast {
    void *y;
    const void *x;
    weft_dtype yt, xt;
} weft__cpu_cast;
weft__cpu_body *weft__cpu_caster(const weft_device *d, weft_dtype from);
/* In a body: calls another function of the same type. */
#define CPU_CALL(name, ...) N(name)(__VA_ARGS__)

/* The set that this device's kernels are taken from. */
int weft__cpu_set(const weft_device *d);

/* Memory of `bytes` for a call alone, which stays where it is for later calls with the same lanes; -1: there is none. */
int weft__cpu_lane_take(weft__lane *of, size_t bytes);
void weft__cpu_lane_give(weft__lane *of, int lane);

/* Element operations that pay for a second thread. */
#define CPU_SERIAL 65536.0
/* Threads for `work` (element operations): small work stays on the caller's, and so does all work
 * of a caller who is inside a parallel region. */
int weft__cpu_team(const weft_device *d, double work);
/* Runs a body over 0..n-1 on `team` threads, in pieces that are cut at multiples of `cut`. */
void weft__cpu_pieces(weft__cpu_body *body, const void *args, int64_t n, int64_t cut, int team);
/* The same on the device's threads, as many as pay; cost: element operations per item.
 * Elements are cut at multiples of 64; rows anywhere. */
void weft__cpu_elements(const weft_device *d, weft__cpu_body *body, const void *args, int64_t n,
                        int64_t cost);
void weft__cpu_rows(const weft_device *d, weft__cpu_body *body, const void *args, int64_t n,
                    int64_t cost);
/* The same, choosing the body by type: CPU_PAIR(name) and so on. */
weft_status weft__cpu_each(weft_stream *s, const weft__cpu_kernel *k, weft_dtype dt,
                           const void *args, int64_t n, int64_t cost);
weft_status weft__cpu_each_row(weft_stream *s, const weft__cpu_kernel *k, weft_dtype dt,
                               const void *args, int64_t n, int64_t cost);

/* y[j] = alpha sum_k x[k] b[j, k] + beta y[j], the products with one row or column, for which some
 * of BLIS's kernel sets are slow; strides in elements. False: not these strides, nothing done. */
bool weft__cpu_vector(weft_stream *s, weft_dev y, int64_t ys, double alpha, weft_dev x, int64_t xs,
                      weft_dev b, int64_t bj, int64_t bk, double beta, int64_t n, int64_t k,
                      weft_dtype dt);

/* gemm of few columns in f32 or f64. False: there are too many, nothing done. */
bool weft__cpu_small(weft_stream *s, weft_dev c, int64_t ldc, double alpha, weft_dev a, int64_t lda,
                     int ta, weft_dev b, int64_t ldb, int tb, double beta, int64_t m, int64_t n,
                     int64_t k, weft_dtype dt);

/* gemm with A and B in 16 bits, by way of f32. */
weft_status weft__cpu_gemm_low(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                               weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                               double beta, int64_t m, int64_t n, int64_t k, weft_dtype dt);

/* Chooses BLIS's kernels before its first call; once a process. */
weft_status weft__cpu_choose_kernels(void);
/* "BLIS 0.9.0 skx, own f32 avx512, own bf16 amx" */
const char *weft__cpu_kernel_set(weft_device *d);
/* Why products of this type go by way of f32, or NULL. */
const char *weft__cpu_lacks(weft_device *d, weft_dtype t);

#define CPU_PROTOTYPE(name) weft_status weft__cpu_##name(WEFT_KERNEL_ARGS(name));
WEFT_KERNEL_LIST(CPU_PROTOTYPE)
#undef CPU_PROTOTYPE

static inline void *cpu_ptr(weft_dev p)
{
    return (void *)p.addr; /* NOLINT: an address that this device handed out */
}

static inline bool cpu_is_low(weft_dtype t)
{
    return t == WEFT_BF16 || t == WEFT_F16;
}

/* Whether results of type yt come from dt: the same, or f32 of 16 bits. */
static inline bool cpu_gives(weft_dtype yt, weft_dtype dt)
{
    const bool low = cpu_is_low(dt);
    return (low || dt == WEFT_F32 || dt == WEFT_F64) && (yt == dt || (low && yt == WEFT_F32));
}

/* Label i as a number; -1 for what is not a class anyhow. */
static inline int64_t cpu_label(const void *label, weft_dtype t, int64_t i)
{
    if (t == WEFT_I64)
        return ((const int64_t *)label)[i];
    return t == WEFT_I32 ? ((const int32_t *)label)[i] : ((const uint8_t *)label)[i];
}

static inline bool cpu_is_label(weft_dtype t)
{
    return t == WEFT_U8 || t == WEFT_I32 || t == WEFT_I64;
}

/* The first of n labels outside 0..c-1 goes into flag, unless an earlier call left one there. */
static inline void cpu_report(int64_t *flag, const void *label, weft_dtype t, int64_t n, int64_t c)
{
    for (int64_t i = 0; i < n && flag[0] == 0; i++) {
        const int64_t at = cpu_label(label, t, i);
        if (at < 0 || at >= c) {
            flag[0] = i + 1;
            flag[1] = at;
        }
    }
}

/* In a body: numbers below the smallest normal one count as zero until its block ends. Moments of what
 * gets no gradient any more (a unit that relu has shut off) decay into that range and stay there,
 * where arithmetic takes tens of times as long. */
#define CPU_FLUSH __attribute__((cleanup(cpu_unflush), unused)) uint64_t cpu_was = cpu_flush()
static inline void cpu_unflush(const uint64_t *was)
{
#if defined(__x86_64__)
    uint32_t csr = (uint32_t)*was;
    __asm__ volatile("ldmxcsr %0" : : "m"(csr) : "memory");
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(*was) : "memory");
#else
    (void)was;
#endif
}
static inline uint64_t cpu_flush(void)
{
    uint64_t was = 0, on = 0;
#if defined(__x86_64__)
    uint32_t csr;
    __asm__ volatile("stmxcsr %0" : "=m"(csr) : : "memory");
    was = csr;
    on = was | 0x8040; /* results and operands */
#elif defined(__aarch64__)
    __asm__ volatile("mrs %0, fpcr" : "=r"(was) : : "memory");
    on = was | UINT64_C(1) << 24;
#endif
    cpu_unflush(&on);
    return was;
}

/* Asks for what a loop over an array reads 4 KiB later: one stream, without it, waits for memory. */
#define CPU_AHEAD(x) __builtin_prefetch((const char *)(x) + 4096)

/* Sums in f64 over sixteen lanes: an order that all vectors can keep and that n alone decides. */
#define CPU_LANES 16
CPU_INLINE double cpu_fold(const double s[CPU_LANES])
{
    double t[CPU_LANES / 2];
    for (int j = 0; j < 8; j++)
        t[j] = s[j] + s[j + 8];
    return ((t[0] + t[4]) + (t[1] + t[5])) + ((t[2] + t[6]) + (t[3] + t[7]));
}
#endif
