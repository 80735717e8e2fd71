/* Cores, threads, and what the matrix kernels make of the processor. */
#include "doctor.h"
#include "tool.h"

#include "../bench/peak.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "device/device.h"

#include <hwloc.h>
#include <stdio.h>
#include <string.h>

#define SIDE 768 /* of the matrices: a few milliseconds where kernels are good */
#define ROUNDS 5
#define POOR 0.5 /* share of the peak */

static void look_at_cores(doctor *d)
{
    unsigned char mask[WEFT__MASK];
    char cpus[200];
    int packages = 0, nodes = 0, cores = 0, threads = 0;
    hwloc_topology_t t;
    if (!hwloc_topology_init(&t)) {
        if (!hwloc_topology_load(t)) {
            packages = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PACKAGE);
            nodes = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_NUMANODE);
            cores = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_CORE);
            threads = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
        }
        hwloc_topology_destroy(t);
    }
    weft__environ_mask(mask);
    doctor_mask(mask, cpus, sizeof cpus);
    doctor_say(d, DOCTOR_OK, "cores", NULL,
               "%d packages, %d NUMA nodes, %d cores, %d hyperthreads; this process may use "
               "CPUs %s, %d cores",
               packages, nodes, cores, threads, cpus, d->environ.cpus);
    if (d->environ.cpus == 1 && cores > 1)
        doctor_say(d, DOCTOR_WARN, "binding",
                   "start with srun --cpus-per-task=N or mpirun --bind-to none, or without taskset",
                   "only 1 of %d cores may be used", cores);
}

static void look_at_threads(doctor *d)
{
    doctor_listen(d, "threads");
    int n = weft__environ_threads(&d->environ, 1, 0);
    doctor_listen_no_more();
    doctor_say(d, DOCTOR_OK, "threads", NULL, "one rank alone runs %d", n);
}

/* Operations a second of a matrix product on one thread; 0 and a message if it cannot be had. */
static double rate_of(weft_device *dev)
{
    const size_t bytes = (size_t)SIDE * SIDE * sizeof(float);
    weft_dev a = {0}, b = {0}, c = {0};
    weft_stream *s = NULL;
    double best = 0;
    weft_status rc = dev->ops->stream_new(dev, &s);
    for (int i = 0; i < 3 && !rc; i++)
        rc = dev->ops->alloc(dev, bytes, (weft_dev *[]){&a, &b, &c}[i]);
    for (int i = 0; i < 3 && !rc; i++)
        rc = dev->ops->zero(s, ((weft_dev[]){a, b, c})[i], bytes);
    for (int i = 0; i < ROUNDS && !rc; i++) {
        double start = weft__now();
        rc = dev->ops->kernels->gemm(s, c, SIDE, 1, a, SIDE, 0, b, SIDE, 0, 0, SIDE, SIDE, SIDE,
                                     WEFT_F32);
        double rate = 2.0 * SIDE * SIDE * SIDE / (weft__now() - start);
        best = rate > best ? rate : best;
    }
    for (int i = 0; i < 3; i++)
        if (((weft_dev[]){a, b, c})[i].addr)
            dev->ops->free(dev, ((weft_dev[]){a, b, c})[i], bytes);
    if (s)
        dev->ops->stream_free(s);
    return rc ? 0 : best;
}

static void look_at_kernels(doctor *d)
{
    static const char cure[] = "do not set BLIS_ARCH_TYPE, or set it to skx (AVX-512), haswell "
                               "(AVX2) or what suits the processor";
    weft_device *dev;
    const char *isa;
    double peak, rate;
    if (weft__device_open(&dev, "cpu", 0, 1)) {
        doctor_say(d, DOCTOR_BAD, "kernels", cure, "%s", weft__why());
        return;
    }
    const char *set = dev->ops->kernel_set(dev);
    peak = bench_peak(WEFT_F32, 1, &isa);
    rate = rate_of(dev);
    if (peak > 0 && strstr(set, "generic"))
        doctor_say(d, DOCTOR_BAD, "kernels", cure, "%s does not use %s, several times too slow",
                   set, isa);
    else
        doctor_say(d, DOCTOR_OK, "kernels", NULL, "%s", set);
    bool poor = peak > 0 && rate < POOR * peak;
    if (rate > 0)
        doctor_say(d, poor ? DOCTOR_WARN : DOCTOR_OK, "products",
                   poor ? "look for other load on the machine, then at BLIS_ARCH_TYPE" : NULL,
                   "%.0f GF/s in f32 on one thread, %.0f %% of the %.0f that %s can do",
                   rate * 1e-9, peak > 0 ? 100 * rate / peak : 0, peak * 1e-9, isa);
    weft__device_close(dev);
}

void doctor_machine(doctor *d)
{
    look_at_cores(d);
    look_at_threads(d);
    look_at_kernels(d);
}
