/* What the machine can do at most, one line of JSON for each number of threads: multiply-adds in
 * registers, and the triad's bandwidth at working sets from the first cache to the memory.
 *
 *   triad [--threads 1,2] */
#include "bounds.h"
#include "report.h"
#include "triad.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define SMALLEST 14 /* log2 of bytes */
#define LARGEST 28

static json_t *bandwidths(int threads)
{
    json_t *list = json_array();
    for (int i = SMALLEST; i <= LARGEST; i++)
        json_array_append_new(list, json_pack("{s:I, s:f}", "bytes", (json_int_t)1 << i, "gb_s",
                                              1e-9 * bench_triad((int64_t)1 << i, threads, 9)));
    return list;
}

static void measure(int threads)
{
    json_t *out = bench_bounds(threads);
    json_object_set_new(out, "bench", json_string("triad"));
    json_object_set_new(out, "triad", bandwidths(threads));
    json_object_set_new(out, "machine", bench_machine());
    bench_print(out);
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"threads", required_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    const char *list = "1,2";
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c != 't') {
            fputs("usage: triad [--threads 1,2]\n", stderr);
            return 1;
        }
        list = optarg;
    }
    for (char *end; strtol(list, &end, 10) > 0; list = *end ? end + 1 : end)
        measure((int)strtol(list, NULL, 10));
    return 0;
}
