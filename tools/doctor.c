/* weft doctor: the machine as a job would find it. Started alone, it looks around and then starts two
 * ranks of itself, to see whether launcher and library belong together; started by a launcher, it
 * looks at the ranks it is. */
#include "doctor.h"
#include "tool.h"

#include "core/env.h"
#include "core/error.h"
#include "core/log.h"
#include "launch/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "usage: weft doctor [--json] [DIR]\n"
                            "       mpirun ... weft doctor [--json] [DIR]\n"
                            "\n"
                            "Looks for what is wrong: cores, threads, matrix kernels, MPI and its "
                            "launcher, HDF5, the file\n"
                            "system of DIR (default: the current directory), shared memory, Slurm. "
                            "One line a finding: ok,\n"
                            "warn or bad, and the cure. Exit status 1 if anything is bad.\n";

void doctor_say(doctor *d, doctor_level level, const char *what, const char *cure,
                const char *format, ...)
{
    static const char *const word[] = {"ok", "warn", "bad"};
    char finding[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(finding, sizeof finding, format, args);
    va_end(args);
    d->worst = level > d->worst ? level : d->worst;
    if (d->json) {
        printf("{\"level\": \"%s\", \"what\": \"%s\", \"finding\": ", word[level], what);
        tool_json_text(finding);
        printf(", \"cure\": ");
        tool_json_text(cure ? cure : "");
        printf("}\n");
    } else {
        printf("%-5s %s: %s%s%s\n", word[level], what, finding, cure ? ". Cure: " : "",
               cure ? cure : "");
    }
    fflush(stdout);
}

typedef struct listener {
    doctor *d;
    const char *what;
} listener;

static void heard(void *user, weft_level level, const char *text)
{
    const listener *l = user;
    if (level == WEFT_LOG_WARNING)
        doctor_say(l->d, DOCTOR_WARN, l->what, NULL, "%s", text);
}

void doctor_listen(doctor *d, const char *what)
{
    static listener l;
    l = (listener){d, what};
    weft_log_level(WEFT_LOG_WARNING);
    weft_log_to(heard, &l);
}

void doctor_listen_no_more(void)
{
    weft_log_to(NULL, NULL);
}

int doctor_ask(const char *command, char *line, int size)
{
    FILE *p = popen(command, "r");
    line[0] = '\0';
    if (!p)
        return -1;
    if (!fgets(line, size, p))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    for (int c = 0; c != EOF;)
        c = fgetc(p); /* else it would get a SIGPIPE */
    return pclose(p);
}

void doctor_mask(const unsigned char mask[WEFT__MASK], char *out, size_t size)
{
    int n = 0, first = -1;
    out[0] = '\0';
    for (int cpu = 0; cpu <= 8 * WEFT__MASK && (size_t)n < size; cpu++) {
        bool in = cpu < 8 * WEFT__MASK && (mask[cpu / 8] >> cpu % 8 & 1);
        if (in && first < 0)
            first = cpu;
        if (in || first < 0)
            continue;
        n += snprintf(out + n, size - (size_t)n, "%s%d", n ? "," : "", first);
        if (cpu - 1 > first && (size_t)n < size)
            n += snprintf(out + n, size - (size_t)n, "-%d", cpu - 1);
        first = -1;
    }
}

/* Two ranks of this program, or a Slurm job's own number. They say what they find themselves. */
static void start_ranks(doctor *d)
{
    char self[PATH_MAX], path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *const program[] = {self, "doctor", d->json ? "--json" : "--", (char *)d->dir, NULL};
    weft__job job = {.program = program, .devices = 2, .threads = 1, .grace = 10};
    int status = 0;
    job.srun = weft__env_text("SLURM_JOB_ID") && weft__find_program("srun", path);
    if (job.srun)
        job.devices = job.threads = 0;
    weft_status s = weft__launch(&job, &status);
    if (s < 0)
        doctor_say(d, DOCTOR_BAD, "launch", NULL, "%s", weft__why());
    else if (status == 1)
        d->worst = DOCTOR_BAD; /* said by the rank that found it */
    else if (status)
        doctor_say(d, DOCTOR_BAD, "launch",
                   "run it by hand, and read what it says: "
                   "mpirun -n 2 weft doctor, or srun --mpi=pmix -n 2 weft doctor",
                   "two ranks were started and ended with status %d", status);
}

static void look_around(doctor *d)
{
    doctor_machine(d);
    doctor_devices(d);
    doctor_libraries(d);
    doctor_variables(d);
    doctor_files(d);
    doctor_slurm(d);
}

int tool_doctor(int argc, char **argv)
{
    doctor d = {.dir = "."};
    for (; argc > 1 && argv[1][0] == '-'; argc--, argv++)
        if (tool_is(argv[1], "--json"))
            d.json = true;
        else if (tool_is(argv[1], "--help"))
            return fputs(usage, stdout) < 0;
        else if (tool_is(argv[1], "--rate")) /* for better_set */
            return printf("%g\n", doctor_rate(&(const char *){NULL})) < 0;
        else if (!tool_is(argv[1], "--"))
            return tool_misused("weft doctor has no option %.60s", argv[1]);
    if (argc > 2)
        return tool_misused("weft doctor takes one directory");
    d.dir = argc > 1 ? argv[1] : d.dir;
    if (weft__environ_read(&d.environ)) {
        doctor_say(&d, DOCTOR_BAD, "launcher", "unset the variable, or mend who sets it", "%s",
                   weft__why());
        d.environ.launcher = WEFT__LAUNCHER_NONE;
        look_around(&d);
    } else if (d.environ.launcher == WEFT__LAUNCHER_NONE) {
        look_around(&d);
        start_ranks(&d);
    } else {
        doctor_ranks(&d);
    }
    return d.worst == DOCTOR_BAD;
}
