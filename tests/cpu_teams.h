/* The CPU as devices of 1 to THREADS threads, for tests that hold their bits against each other, and numbers to
 * compute with. */
#ifndef TESTS_CPU_TEAMS_H
#define TESTS_CPU_TEAMS_H
#include "device/device.h"

#include <check.h>

#define THREADS 3

static weft_device *device[THREADS];
static weft_stream *stream[THREADS];

static inline void open_devices(void)
{
    for (int t = 0; t < THREADS; t++) {
        ck_assert(!weft__device_open(&device[t], "cpu", 0, t + 1));
        ck_assert(!device[t]->ops->stream_new(device[t], &stream[t]));
    }
}

static inline void close_devices(void)
{
    for (int t = 0; t < THREADS; t++) {
        device[t]->ops->stream_free(stream[t]);
        weft__device_close(device[t]);
    }
}

/* In [-1/2, 1/2). */
static inline double draw(void)
{
    static uint64_t seed = 1;
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 40) * 0x1p-24 - 0.5;
}
#endif
