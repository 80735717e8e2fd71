/* What the programs report alike. */
#include "report.h"

#include "comm/mpi.h"

#include <blis.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *value, int64_t n)
{
    qsort(value, (size_t)n, sizeof *value, ascending);
    return value[n / 2];
}

json_t *bench_quartiles(double *value, int64_t n)
{
    double middle = bench_median(value, n);
    return json_pack("{s:f, s:f, s:f}", "p25", value[n / 4], "median", middle, "p75",
                     value[n * 3 / 4]);
}

static void cpu_model(char *out, size_t size)
{
    char line[256];
    FILE *in = fopen("/proc/cpuinfo", "r");
    snprintf(out, size, "unknown");
    while (in && fgets(line, sizeof line, in)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && colon) {
            snprintf(out, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (in)
        fclose(in);
}

/* The CPUs that this process may run on. */
static json_t *pinned(void)
{
    json_t *list = json_array();
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &set))
                json_array_append_new(list, json_integer(i));
    return list;
}

static json_t *variables(void)
{
    static const char *const of[] = {"BLIS_", "OMP_", "GOMP_", "KMP_", "WEFT_"};
    json_t *set = json_object();
    for (char **e = environ; *e; e++)
        for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
            size_t name = strcspn(*e, "=");
            if (strncmp(*e, of[i], strlen(of[i])) == 0 && (*e)[name] && name < 64) {
                char key[64];
                snprintf(key, sizeof key, "%.*s", (int)name, *e);
                json_object_set_new(set, key, json_string(*e + name + 1));
            }
        }
    return set;
}

json_t *bench_machine(void)
{
    char cpu[256];
    cpu_model(cpu, sizeof cpu);
    return json_pack("{s:s, s:I, s:o, s:s, s:s, s:s, s:o}", "cpu", cpu, "cores",
                     (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "pinned", pinned(), "weft",
                     weft_version(), "mpi", weft__mpi_version(), "blis", bli_info_get_version_str(),
                     "variables", variables());
}

void bench_print(json_t *out)
{
    json_dumpf(out, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(out);
}
