/* Rank 0 makes a file of memory, the others open it through /proc. Not MPI_Win_allocate_shared: Open
 * MPI 4.1 reserves nothing in the directory where its file is, so that two windows which do not fit
 * together are both given and the process dies by SIGBUS where it writes; and it is freed
 * collectively. */
#include "comm/shared.h"

#include "comm/comm.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* How the others find it. */
typedef struct door {
    int64_t pid, fd, device, inode;
    uint64_t each;
} door;

/* Bytes that can be had without the kernel ending somebody, INT64_MAX if it does not say. */
static int64_t available(void)
{
    char line[128];
    int64_t memory = -1, swap = 0;
    FILE *in = fopen("/proc/meminfo", "re");
    while (in && fgets(line, sizeof line, in)) {
        sscanf(line, "MemAvailable: %" SCNd64, &memory);
        sscanf(line, "SwapFree: %" SCNd64, &swap);
    }
    if (in)
        fclose(in);
    return memory < 0 ? INT64_MAX : (memory + swap) * 1024;
}

static weft_status no_room(const char *what, uint64_t bytes)
{
    return weft__fail_errno(WEFT_ENOMEM, "no room for %" PRIu64 " bytes of shared memory for %s",
                            bytes, what);
}

static weft_status create(uint64_t all, const char *what, door *d, int *out)
{
    struct stat s;
    int fd;
    errno = ENOMEM;
    if (all > INT64_MAX || (int64_t)all > available())
        return no_room(what, all);
    fd = memfd_create("weft", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return weft__fail_errno(WEFT_EIO, "shared memory for %s: memfd_create", what);
    *out = fd;
    if (ftruncate(fd, (off_t)all) || fstat(fd, &s))
        return no_room(what, all);
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    d->pid = getpid();
    d->fd = fd;
    d->device = (int64_t)s.st_dev;
    d->inode = (int64_t)s.st_ino;
    return WEFT_OK;
}

/* Where processes do not see each other, the number may be another's: it must be the same file. */
static weft_status attach(const door *d, const char *what, int *fd)
{
    char path[64];
    struct stat s;
    snprintf(path, sizeof path, "/proc/%" PRId64 "/fd/%" PRId64, d->pid, d->fd);
    *fd = open(path, O_RDWR | O_CLOEXEC);
    if (*fd < 0)
        return weft__fail_errno(
            WEFT_ENOTSUP,
            "shared memory for %s: %s of rank 0 cannot be opened; ranks that share "
            "memory must be of one user and see each other's processes",
            what, path);
    if (fstat(*fd, &s) || (int64_t)s.st_dev != d->device || (int64_t)s.st_ino != d->inode)
        return weft__fail(WEFT_ENOTSUP,
                          "shared memory for %s: %s is not rank 0's here; ranks that share memory "
                          "must see each other's processes",
                          what, path);
    return WEFT_OK;
}

/* Every rank reserves its own part, which the kernel then places near it. A full memory is an error
 * here and not a SIGBUS later. */
static weft_status reserve(weft__shared *m, int fd, const char *what)
{
    int rc;
    do
        rc = fallocate(fd, 0, (off_t)(m->each * (size_t)m->rank), (off_t)m->each);
    while (rc && errno == EINTR);
    if (rc)
        return no_room(what, m->each);
    void *p = mmap(NULL, m->all, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return weft__fail_errno(WEFT_ENOMEM, "shared memory for %s: mapping %zu bytes", what,
                                m->all);
    m->base = p;
    return WEFT_OK;
}

static weft_status share(weft_comm *c, weft__shared *m, const char *what, int *fd)
{
    door d = {.each = m->each};
    weft_status s = c->rank ? WEFT_OK : create(m->all, what, &d, fd);
    WEFT_TRY(weft__agree(c, "shared memory", s, ""));
    WEFT_TRY(weft__comm_broadcast(c, "shared memory", &d, sizeof d, 0));
    if (d.each != m->each)
        s = weft__fail(WEFT_ECONFIG,
                       "shared memory for %s: rank %d asks for %zu bytes, rank 0 for %" PRIu64,
                       what, c->rank, m->each, d.each);
    else if (c->rank)
        s = attach(&d, what, fd);
    if (!s)
        s = reserve(m, *fd, what);
    return weft__agree(c, "shared memory", s, "");
}

weft_status weft__shared_new(weft_comm *c, size_t bytes, const char *what, weft__shared *out)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    weft__shared m = {.rank = c->rank};
    int fd = -1;
    m.each = bytes > SIZE_MAX / 2 / (size_t)c->world ? SIZE_MAX / 2 / (size_t)c->world : bytes;
    m.each = (m.each + page) / page * page;
    m.all = m.each * (size_t)c->world;
    weft_status s = share(c, &m, what, &fd);
    if (fd >= 0)
        close(fd);
    if (s)
        weft__shared_free(&m);
    else
        *out = m;
    return s;
}

void weft__shared_free(weft__shared *m)
{
    if (m->base)
        munmap(m->base, m->all);
    m->base = NULL;
}
