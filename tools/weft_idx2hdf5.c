/* weft-idx2hdf5: images and labels in the IDX format of the MNIST family, to one HDF5 file that
 * weft_loader_hdf5 reads: x (N, rows * columns) and y (N), both u8, contiguous. */
#include "core/alloc.h"
#include "data/idx.h"
#include "data/sampler.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: weft-idx2hdf5 [--shuffle-labels SEED] IMAGES[.gz] LABELS[.gz] OUT.h5\n"
    "\n"
    "Writes the data sets x (N, rows * columns) and y (N), unsigned bytes, contiguous.\n"
    "  --shuffle-labels SEED  permutes the labels, as a control: nothing can be learned\n";

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("weft-idx2hdf5: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static weft__idx read_idx(const char *path, const char *what, int rank)
{
    weft__idx a;
    if (weft__idx_open(&a, path, true) < 0)
        fail("%s", weft__why());
    if (a.magic != 0x800u + (unsigned)rank)
        fail("%s: begins with 0x%08x; %s of bytes begin with 0x%08x", path, a.magic, what,
             0x800u + (unsigned)rank);
    return a;
}

/* The order is the sampler's, so that it is the same everywhere. */
static void shuffle(weft__idx *labels, uint64_t seed)
{
    int64_t n = labels->dim[0], *order = weft__new((size_t)n, sizeof *order);
    char *value = weft__new((size_t)n, 1);
    if (!order || !value)
        fail("%s", weft__why());
    weft__sampler_order(order, n, seed, 0, true);
    for (int64_t i = 0; i < n; i++)
        value[i] = labels->memory[order[i]];
    weft__free(order);
    weft__free(labels->memory);
    labels->memory = value;
}

static bool note_text(hid_t set, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(text));
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    hid_t note = H5Acreate2(set, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = note >= 0 && H5Awrite(note, type, text) >= 0;
    H5Aclose(note);
    H5Sclose(space);
    H5Tclose(type);
    return ok;
}

static bool note_number(hid_t set, const char *name, uint64_t value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t note = H5Acreate2(set, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    bool ok = note >= 0 && H5Awrite(note, H5T_NATIVE_UINT64, &value) >= 0;
    H5Aclose(note);
    H5Sclose(space);
    return ok;
}

static hid_t write_set(hid_t file, const char *name, const weft__idx *a)
{
    hsize_t dim[2] = {(hsize_t)a->dim[0], (hsize_t)(a->bytes / a->dim[0])};
    hid_t space = H5Screate_simple(a->rank == 1 ? 1 : 2, dim, NULL);
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_layout(plist, H5D_CONTIGUOUS);
    H5Pset_obj_track_times(plist, 0); /* the same input gives the same bytes */
    hid_t set = H5Dcreate2(file, name, H5T_STD_U8LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    bool ok =
        set >= 0 && H5Dwrite(set, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, a->memory) >= 0;
    H5Pclose(plist);
    H5Sclose(space);
    return ok ? set : -1;
}

static bool fill_file(hid_t file, const weft__idx *images, const weft__idx *labels,
                      const char *seed)
{
    hid_t x = write_set(file, "x", images), y = write_set(file, "y", labels);
    bool ok = x >= 0 && y >= 0;
    ok = ok && note_text(x, "description", "images, one a row, row-major, 0 to 255");
    ok = ok && note_number(x, "rows", (uint64_t)images->dim[1]);
    ok = ok && note_number(x, "columns", (uint64_t)images->dim[2]);
    ok = ok && note_text(y, "description", seed ? "shuffled labels, a control" : "labels");
    ok = ok && (!seed || note_number(y, "shuffle_seed", strtoull(seed, NULL, 10)));
    return (x < 0 || H5Dclose(x) >= 0) && (y < 0 || H5Dclose(y) >= 0) && ok;
}

/* The file as HDF5 makes it, in memory: no error of a disk ever reaches libhdf5. */
static unsigned char *make_image(const weft__idx *images, const weft__idx *labels, const char *seed,
                                 size_t *size)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 20, 0);
    hid_t file = H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    unsigned char *image = NULL;
    ssize_t n = -1;
    H5Pclose(access);
    if (file >= 0 && fill_file(file, images, labels, seed) && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0)
        n = H5Fget_file_image(file, NULL, 0);
    if (n > 0 && (image = malloc((size_t)n)) && H5Fget_file_image(file, image, (size_t)n) != n)
        n = -1;
    if (n <= 0 || !image || H5Fclose(file) < 0)
        fail("HDF5 could not make the file in memory");
    *size = (size_t)n;
    return image;
}

static bool write_all(const char *path, const unsigned char *image, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = fd >= 0;
    for (size_t done = 0; ok && done < size;) {
        ssize_t n = write(fd, image + done, size - done);
        ok = n >= 0 || errno == EINTR;
        done += n > 0 ? (size_t)n : 0;
    }
    ok = ok && fsync(fd) == 0;
    return (fd < 0 || close(fd) == 0) && ok;
}

static bool sync_directory(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    return (fd < 0 || close(fd) == 0) && ok;
}

/* The directory of path, cut off in place. */
static const char *directory_of(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        return ".";
    slash[slash == path] = '\0';
    return path;
}

/* Written aside, then renamed: OUT is the old file or the whole new one. */
static void write_aside(const char *out, const weft__idx *images, const weft__idx *labels,
                        const char *seed)
{
    char aside[4096], place[4096];
    if (snprintf(aside, sizeof aside, "%s.%ld.tmp", out, (long)getpid()) >= (int)sizeof aside)
        fail("%s: the name is too long", out);
    memcpy(place, aside, sizeof place);
    const char *dir = directory_of(place);
    size_t size;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    unsigned char *image = make_image(images, labels, seed, &size);
    if (!write_all(aside, image, size) || rename(aside, out)) {
        int why = errno;
        unlink(aside);
        fail("%s: cannot be written: %s", out, strerror(why));
    }
    if (!sync_directory(dir))
        fail("%s: %s", dir, strerror(errno));
    free(image);
}

int main(int argc, char **argv)
{
    const char *seed = NULL;
    char *end;
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc > 2 && strcmp(argv[1], "--shuffle-labels") == 0) {
        seed = argv[2];
        errno = 0;
        strtoull(seed, &end, 10);
        if (*seed < '0' || *seed > '9' || *end || errno)
            fail("--shuffle-labels takes a whole number, not \"%s\"", seed);
        argc -= 2;
        argv += 2;
    }
    if (argc != 4 || argv[1][0] == '-') {
        fputs(usage, stderr);
        return 1;
    }
    weft__idx images = read_idx(argv[1], "images", 3), labels = read_idx(argv[2], "labels", 1);
    if (images.dim[0] != labels.dim[0])
        fail("%s has %lld images, %s has %lld labels", argv[1], (long long)images.dim[0], argv[2],
             (long long)labels.dim[0]);
    if (seed)
        shuffle(&labels, strtoull(seed, NULL, 10));
    write_aside(argv[3], &images, &labels, seed);
    weft__idx_close(&images);
    weft__idx_close(&labels);
    return 0;
}
