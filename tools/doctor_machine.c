/* Cores, threads, and what the matrix kernels make of the processor. */
#include "doctor.h"
#include "tool.h"

#include "../bench/peak.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "device/device.h"

#include <hwloc.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SIDE 768 /* of the matrices: a few milliseconds where kernels are good */
#define ROUNDS 5
#define POOR 0.5 /* share of the peak */
#define GAIN 1.3 /* worth a variable */

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
static double rate_of(weft_device *dev, weft_dtype t)
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
        rc = dev->ops->kernels->gemm(s, c, WEFT_F32, SIDE, 1, a, SIDE, 0, b, SIDE, 0, 0, SIDE, SIDE,
                                     SIDE, t);
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

double doctor_rate(const char **set)
{
    static char name[80];
    weft_device *dev;
    if (weft__device_open(&dev, "cpu", 0, 1))
        return 0;
    snprintf(name, sizeof name, "%s", dev->ops->kernel_set(dev));
    *set = name;
    double rate = rate_of(dev, WEFT_F32);
    weft__device_close(dev);
    return rate;
}

/* Another kernel set may be better than the one that was chosen: each is tried in a process of its
 * own, since BLIS chooses once. @return a cure, or NULL if none is better than `rate` */
static const char *better_set(double rate)
{
    static const char *const set[] = {"skx", "haswell", "armv8a"};
    static char cure[120];
    char self[PATH_MAX], command[PATH_MAX + 80], line[40];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) {
        double found;
        snprintf(command, sizeof command, "BLIS_ARCH_TYPE=%s '%s' doctor --rate 2>/dev/null",
                 set[i], self);
        if (doctor_ask(command, line, sizeof line) || sscanf(line, "%lf", &found) != 1 ||
            found < GAIN * rate)
            continue;
        rate = found;
        snprintf(cure, sizeof cure, "export BLIS_ARCH_TYPE=%s, with which it is %.0f GF/s", set[i],
                 found * 1e-9);
    }
    return cure[0] ? cure : NULL;
}

static void look_at_kernels(doctor *d)
{
    const char *isa, *set = "", *cure = NULL;
    double peak = bench_peak(WEFT_F32, 1, &isa), rate = doctor_rate(&set);
    if (rate <= 0) {
        doctor_say(d, DOCTOR_BAD, "kernels", "do not set BLIS_ARCH_TYPE", "%s", weft__why());
        return;
    }
    bool poor = peak > 0 && rate < POOR * peak, generic = strstr(set, "generic") != NULL;
    if (poor)
        cure = better_set(rate);
    if (poor && !cure)
        cure = "look for other load on the machine";
    doctor_say(d,
               poor && generic ? DOCTOR_BAD
               : poor          ? DOCTOR_WARN
                               : DOCTOR_OK,
               "kernels", cure,
               "%s: %.0f GF/s in f32 on one thread, %.0f %% of the %.0f that %s can do", set,
               rate * 1e-9, peak > 0 ? 100 * rate / peak : 0, peak * 1e-9, isa);
}

static void look_at_low(doctor *d)
{
    weft_device *dev;
    const char *isa, *lacks = NULL;
    if (weft__device_open(&dev, "cpu", 0, 1))
        return;
    if (dev->ops->lacks && (lacks = dev->ops->lacks(dev, WEFT_BF16))) {
        doctor_say(d, DOCTOR_OK, "bf16", NULL, "products are computed in f32: %s", lacks);
    } else {
        const double peak = bench_peak(WEFT_BF16, 1, &isa), rate = rate_of(dev, WEFT_BF16);
        doctor_say(d, DOCTOR_OK, "bf16", NULL,
                   "%s: %.0f GF/s on one thread, %.0f %% of the %.0f that %s can do",
                   dev->ops->kernel_set(dev), rate * 1e-9, peak > 0 ? 100 * rate / peak : 0,
                   peak * 1e-9, isa);
    }
    weft__device_close(dev);
}

void doctor_machine(doctor *d)
{
    look_at_cores(d);
    look_at_threads(d);
    look_at_kernels(d);
    look_at_low(d);
}
