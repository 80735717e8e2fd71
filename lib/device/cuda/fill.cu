/* y[i] = value, of any type: elements are stored as their bits. */
#include "device/cpu/half.h"
#include "device/cuda/each.cuh"

template <class T> __global__ static void fill(T *y, T value, int64_t n, bool packs)
{
    constexpr int N = cuda_pack<T>::n;
    T v[N];
    for (int k = 0; k < N; k++)
        v[k] = value;
    for (int64_t i = cuda_first() * N; i < n; i += cuda_step() * N)
        cuda_write(y, v, i, n, packs);
}

template <class T> static void run(weft_stream *s, weft_dev y, int64_t n, const void *value)
{
    T v;
    memcpy(&v, value, sizeof v);
    CUDA_RUN(fill<T>, cuda_blocks_of(s, n, cuda_pack<T>::n), cuda_at<T>(y), v, n, cuda_packs(y));
}

static double clamp(double v, double lo, double hi)
{
    return isnan(v) ? 0 : v < lo ? lo : v > hi ? hi : v;
}

/* Of the integer types. */
static int64_t whole(double v, weft_dtype t)
{
    if (t == WEFT_U8)
        return (int64_t)clamp(v, 0, UINT8_MAX);
    if (t == WEFT_I32)
        return (int64_t)clamp(v, INT32_MIN, INT32_MAX);
    return v >= 0x1p63 ? INT64_MAX : (int64_t)clamp(v, -0x1p63, 0x1p63);
}

weft_status weft__cuda_fill(weft_stream *s, weft_dev y, int64_t n, double value, weft_dtype t)
{
    const float f = (float)value;
    const int64_t i = whole(value, t);
    const uint16_t h = t == WEFT_BF16 ? half_to_bf16(value) : half_to_f16(value);
    switch (t) {
    case WEFT_F64:
        run<uint64_t>(s, y, n, &value);
        break;
    case WEFT_F32:
        run<uint32_t>(s, y, n, &f);
        break;
    case WEFT_BF16:
    case WEFT_F16:
        run<uint16_t>(s, y, n, &h);
        break;
    case WEFT_I64:
        run<uint64_t>(s, y, n, &i);
        break;
    case WEFT_I32: /* the lower bytes of i, here and below */
        run<uint32_t>(s, y, n, &i);
        break;
    case WEFT_U8:
        run<uint8_t>(s, y, n, &i);
        break;
    default:
        return weft__no_kernel(s->device, "fill", t);
    }
    return weft__cuda_launched(s, "fill");
}
