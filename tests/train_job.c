/* A small training job for the tests of resuming: it trains, saves every few steps, writes down what
 * it did, and disturbs its own saves on demand. Not a test by itself.
 *
 *   train_job --make FILE [--rows N]        makes the data set
 *   train_job --dir DIR [options]           trains on DIR/data.h5 in DIR/run and DIR/metrics.csv
 *
 * When it has resumed it writes DIR/start (the step and the parameters' digest, one line a rank), and
 * at its end DIR/final (step, digest of the parameters, tracked values). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <hdf5.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weft.h>

#define INPUTS 24
#define CLASSES 4
#define WRONG 99 /* exit status: what was to hold did not */

enum {
    MAKE,    /* file */
    ROWS,    /* of the data set to make */
    DIR,     /* where everything is */
    EPOCHS,  /* default 3 */
    BATCH,   /* global, default 32 */
    EVERY,   /* steps between saves, default 8 */
    STOP,    /* leaves the loop after that step */
    PACE,    /* microseconds to wait a step */
    SAMPLES, /* file that gets "step row sample", with the rank behind its name */
    FAULT,   /* rank: call k fails there in save 2k-1 */
    KILL,    /* k: the process is killed before call k of save 2 */
    LIMIT,   /* bytes a file may have during save 2 */
    FULL,    /* file that fills the disk during save 2 */
    TROUBLE, /* "rank:step:what[:seconds]", see trouble() */
    OPTIONS
};
static const char *option[OPTIONS];
static const struct option known[] = {
    {"make", 1, NULL, MAKE},     {"rows", 1, NULL, ROWS},       {"dir", 1, NULL, DIR},
    {"epochs", 1, NULL, EPOCHS}, {"batch", 1, NULL, BATCH},     {"every", 1, NULL, EVERY},
    {"stop", 1, NULL, STOP},     {"pace", 1, NULL, PACE},       {"samples", 1, NULL, SAMPLES},
    {"fault", 1, NULL, FAULT},   {"kill", 1, NULL, KILL},       {"limit", 1, NULL, LIMIT},
    {"full", 1, NULL, FULL},     {"trouble", 1, NULL, TROUBLE}, {NULL, 0, NULL, 0}};

static int64_t number(int i, int64_t otherwise)
{
    return option[i] ? strtoll(option[i], NULL, 10) : otherwise;
}

static int parse(int argc, char **argv)
{
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == '?')
            return 0;
        option[c] = optarg;
    }
    return optind == argc && (option[MAKE] || option[DIR]);
}

/* DIR/name */
static const char *in_dir(const char *name)
{
    static char path[4][4096];
    static int at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", option[DIR], name);
    return p;
}

/* ---- the data set: points around CLASSES centres ---- */

static int put(hid_t file, const char *name, hid_t type, int rank, const hsize_t *shape,
               const void *data)
{
    hid_t space = H5Screate_simple(rank, shape, NULL);
    hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int bad = H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0;
    H5Dclose(set);
    H5Sclose(space);
    return bad;
}

static int make(const char *path, int64_t rows)
{
    float *x = malloc((size_t)rows * INPUTS * sizeof *x);
    int32_t *y = malloc((size_t)rows * sizeof *y);
    uint32_t r = 1;
    const hsize_t shape[] = {(hsize_t)rows, INPUTS};
    for (int64_t i = 0; i < rows; i++) {
        y[i] = (int32_t)(i * 7 / 3 % CLASSES);
        for (int k = 0; k < INPUTS; k++) {
            r = r * 1664525u + 1013904223u;
            x[i * INPUTS + k] = (float)(r >> 8) / (1 << 24) + (k % CLASSES == y[i] ? 0.3f : 0);
        }
    }
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    int bad = put(file, "x", H5T_NATIVE_FLOAT, 2, shape, x) |
              put(file, "y", H5T_NATIVE_INT32, 1, shape, y);
    free(x);
    free(y);
    return H5Fclose(file) < 0 || bad;
}

/* ---- what it writes down ---- */

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static uint64_t digest(weft_module *m)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (int64_t i = 0; i < weft_param_count(m); i++) {
        weft_tensor *t = weft_param(m, weft_param_name(m, i));
        size_t bytes = (size_t)weft_numel(t) * weft_dtype_size(weft_dtype_of(t));
        void *copy = malloc(bytes);
        if (weft_copy_out(t, copy, bytes))
            exit(WRONG);
        h = fnv(h, copy, bytes);
        free(copy);
    }
    return h;
}

/* A line of a file, written at once. */
static void note(const char *name, const char *text)
{
    int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    if (n != (ssize_t)strlen(text))
        exit(WRONG);
}

typedef struct job {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *adam;
    weft_loader *train;
    double smooth; /* tracked: of rank 0's loss, never begun anew */
    int64_t seen;  /* tracked: digest of the samples that rank 0 had */
    FILE *samples;
    int64_t saves;
    int wrong;
} job;

static void state_of(const job *j, const char *name, bool whole)
{
    char text[300];
    uint64_t smooth;
    memcpy(&smooth, &j->smooth, sizeof smooth);
    int n = snprintf(text, sizeof text, "%" PRId64 " %016" PRIx64, weft_step_count(j->f),
                     digest(j->model));
    if (whole)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      " %" PRId64 " %a %016" PRIx64 " %016" PRIx64, weft_steps(j->adam),
                      weft_lr(j->adam), smooth, (uint64_t)j->seen);
    snprintf(text + n, sizeof text - (size_t)n, "\n");
    note(name, text);
}

static void remember(job *j, const weft_batch *b, weft_tensor *loss)
{
    if (b->rows) {
        j->smooth = 0.9 * j->smooth + 0.1 * weft_item(loss);
        j->seen = (int64_t)fnv((uint64_t)j->seen, b->sample, (size_t)b->rows * sizeof *b->sample);
    }
    for (int64_t i = 0; j->samples && i < b->rows; i++)
        fprintf(j->samples, "%08" PRId64 " %08" PRId64 " %08" PRId64 "\n",
                weft_step_count(j->f) + 1, b->base + i, b->sample[i]);
}

/* ---- saves and what happens to them ---- */

static void set_number(const char *name, int64_t v)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, v);
    setenv(name, text, 1);
}

static void limit(int64_t bytes)
{
    struct rlimit l;
    getrlimit(RLIMIT_FSIZE, &l);
    l.rlim_cur = bytes < 0 ? l.rlim_max : (rlim_t)bytes;
    setrlimit(RLIMIT_FSIZE, &l);
}

static void fill(const char *path)
{
    static const char zeros[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (size_t n = sizeof zeros; n; n /= 2)
        while (write(fd, zeros, n) > 0)
            ;
    close(fd);
}

/* @return 1: this save has to fail, 0: it may, -1: it must not. */
static int disturb(job *j)
{
    bool second = ++j->saves == 2;
    if (option[FAULT] && j->saves % 2 == 1) {
        if (weft_global_rank(j->f) == number(FAULT, 0)) {
            set_number("WEFT_FAULT_CALL", (j->saves + 1) / 2);
            setenv("WEFT_FAULT_DIR", in_dir("run"), 1);
        }
        return 0;
    }
    if (option[KILL] && second) {
        set_number("WEFT_FAULT_CALL", number(KILL, 0));
        setenv("WEFT_FAULT_DIR", in_dir("run"), 1);
        return -1;
    }
    if (option[LIMIT] && second) {
        limit(number(LIMIT, 0));
        return 1;
    }
    if (option[FULL] && second) {
        fill(option[FULL]);
        weft_barrier(j->f);
        return 1;
    }
    return -1;
}

static void calm(const job *j)
{
    unsetenv("WEFT_FAULT_DIR");
    if (option[LIMIT])
        limit(-1);
    if (option[FULL] && j->saves == 2) {
        weft_barrier(j->f);
        unlink(option[FULL]);
        weft_barrier(j->f);
    }
}

static void save(job *j)
{
    int expected = disturb(j);
    weft_status s = weft_save(j->f, in_dir("run"));
    calm(j);
    if (s > 0 || (s < 0 && expected < 0) || (s == 0 && expected > 0) || weft_error(j->f)) {
        fprintf(stderr, "train_job: save %" PRId64 " returned %d\n", j->saves, s);
        j->wrong = WRONG;
    }
}

/* ---- ranks that do not come ---- */

static void pause_for(double seconds)
{
    char command[80];
    snprintf(command, sizeof command, "(sleep %g; kill -CONT %d) &", seconds, (int)getpid());
    if (system(command) == 0)
        raise(SIGSTOP);
}

/* What one rank does before a step. @return true to leave the loop */
static bool trouble(job *j)
{
    char what[16] = "";
    int rank = -1;
    long step = -1;
    double seconds = 0;
    if (option[TROUBLE])
        sscanf(option[TROUBLE], "%d:%ld:%15[a-z]:%lf", &rank, &step, what, &seconds);
    if (weft_global_rank(j->f) != rank || weft_step_count(j->f) != step)
        return false;
    fclose(fopen(in_dir("trouble"), "w")); /* its time tells when */
    if (strcmp(what, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(what, "stop") == 0)
        raise(SIGSTOP);
    if (strcmp(what, "exit") == 0)
        exit(0);
    if (strcmp(what, "pause") == 0)
        pause_for(seconds);
    if (strcmp(what, "sleep") == 0)
        usleep((useconds_t)(seconds * 1e6));
    if (strcmp(what, "barrier") == 0)
        weft_barrier(j->f);
    return strcmp(what, "leave") == 0;
}

/* ---- the job ---- */

static void build(job *j)
{
    weft_fabric *f = j->f;
    j->model = weft_nn_sequential(f, weft_nn_linear(f, INPUTS, 16), weft_nn_relu(f),
                                  weft_nn_linear(f, 16, CLASSES));
    j->adam = weft_adam(j->model, WEFT_ADAM(.lr = 1e-2));
    j->train = weft_loader_hdf5(f, in_dir("data.h5"),
                                WEFT_LOADER(.global_batch = number(BATCH, 32),
                                            .epochs = number(EPOCHS, 3), .shuffle = true));
    weft_set_schedule(j->adam,
                      WEFT_SCHEDULE(.total = number(EPOCHS, 3) * weft_loader_batches(j->train)));
    weft_logger_csv(f, in_dir("metrics.csv"));
    weft_logger_jsonl(f, in_dir("metrics.jsonl"));
    weft_track_f64(f, "smooth", &j->smooth, 1);
    weft_track_i64(f, "seen", &j->seen, 1);
    weft_setup(f, j->model, j->adam);
    weft_setup_loader(f, j->train);
    weft_resume(f, in_dir("run"));
}

static void train(job *j)
{
    weft_fabric *f = j->f;
    for (weft_batch b; weft_next(j->train, &b);) {
        if (trouble(j))
            break;
        weft_tensor *loss = weft_cross_entropy(weft_forward(j->model, b.x), b.y);
        remember(j, &b, loss);
        weft_zero_grad(j->adam);
        weft_backward(f, loss);
        weft_log_value(f, "lr", weft_lr(j->adam));
        weft_step(j->adam);
        weft_log(f, "loss", loss);
        weft_log_value(f, "smooth", j->smooth);
        if (option[PACE])
            usleep((useconds_t)number(PACE, 0));
        if (weft_every(f, number(EVERY, 8)))
            save(j);
        if (weft_step_count(f) == number(STOP, -1))
            break;
    }
}

int main(int argc, char **argv)
{
    job j = {0};
    char path[4096];
    int opened =
        weft_open(&j.f, &argc, &argv, WEFT_OPEN(.strategy = "ddp", .seed = 7, .log_every = 5));
    if (!opened && !parse(argc, argv))
        opened = weft_fail(j.f, WEFT_EARG, "usage: train_job --make FILE | --dir DIR ...");
    if (!opened && option[MAKE]) {
        int bad = make(option[MAKE], number(ROWS, 2000));
        return weft_close(&j.f) || bad;
    }
    if (opened)
        return weft_close(&j.f);
    snprintf(path, sizeof path, "%s.%d", option[SAMPLES] ? option[SAMPLES] : "",
             weft_global_rank(j.f));
    j.samples = option[SAMPLES] ? fopen(path, "a") : NULL;
    build(&j);
    if (!weft_error(j.f))
        state_of(&j, "start", false);
    train(&j);
    if (j.samples)
        fclose(j.samples);
    if (!weft_error(j.f) && weft_is_global_zero(j.f))
        state_of(&j, "final", true);
    int status = weft_close(&j.f);
    return status ? status : j.wrong;
}
