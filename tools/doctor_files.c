/* What checkpoints need of a file system, tried out; and shared memory. */
#include "doctor.h"
#include "tool.h"

#include "core/context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#define BYTES (1 << 20)
#define SLOW 1.0                  /* seconds for a sync of so much */
#define SMALL ((double)(1 << 30)) /* free bytes */
#define SHARED ((double)(64 << 20))

static const char *type_of(const struct statfs *fs)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = {{0xEF53, "ext"},        {0x58465342, "xfs"},    {0x9123683E, "btrfs"},
                 {0x01021994, "tmpfs"},  {0x6969, "nfs"},        {0x794C7630, "overlay"},
                 {0x0BD00BD0, "lustre"}, {0x47504653, "gpfs"},   {0x65735546, "fuse"},
                 {0x2FC12FC1, "zfs"},    {0x19830326, "beegfs"}, {0x00C36400, "ceph"},
                 {0xFF534D42, "cifs"},   {0x858458F6, "ramfs"},  {0x01021997, "9p"},
                 {0xAAD7AAEA, "panfs"},  {0x5346414F, "afs"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].magic == ((unsigned long)fs->f_type & 0xFFFFFFFFul))
            return known[i].name;
    return "unknown";
}

/* What a save does to a file, step by step. @return what failed, or NULL */
static const char *try_out(const char *file, const char *dir, double *seconds, bool *fallocates)
{
    static char block[BYTES];
    char renamed[4200];
    const char *failed = NULL;
    snprintf(renamed, sizeof renamed, "%s.renamed", file);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), where;
    if (fd < 0)
        return "making a file";
    double start = weft__now();
    *fallocates = fallocate(fd, 0, 0, BYTES) == 0 || errno != EOPNOTSUPP;
    if (pwrite(fd, block, BYTES, 0) != BYTES)
        failed = "writing 1 MiB";
    else if (fsync(fd))
        failed = "fsync of a file";
    *seconds = weft__now() - start;
    if (close(fd) && !failed)
        failed = "close";
    if (!failed && rename(file, renamed))
        failed = "rename";
    where = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!failed && (where < 0 || fsync(where)))
        failed = "fsync of the directory";
    if (where >= 0)
        close(where);
    int e = errno;
    unlink(file);
    unlink(renamed);
    errno = e;
    return failed;
}

static void look_at_space(doctor *d, const struct statfs *fs)
{
    char free_text[32], all[32];
    double left = (double)fs->f_bavail * (double)fs->f_bsize;
    double whole = (double)fs->f_blocks * (double)fs->f_bsize;
    bool none = left < BYTES, little = left < SMALL;
    const char *type = type_of(fs);
    doctor_say(d,
               none     ? DOCTOR_BAD
               : little ? DOCTOR_WARN
                        : DOCTOR_OK,
               "space", little ? "make room, or keep fewer checkpoints (keep=1)" : NULL,
               "%s free of %s in %s", tool_size(free_text, left), tool_size(all, whole), d->dir);
    if (strcmp(type, "tmpfs") == 0 || strcmp(type, "ramfs") == 0)
        doctor_say(d, DOCTOR_WARN, "file system", "keep checkpoints on a disk",
                   "%s is a %s: what is in it is gone when the machine starts again", d->dir, type);
}

static void look_at_directory(doctor *d)
{
    char file[4100];
    struct statfs fs;
    double seconds = 0;
    bool fallocates = false;
    if (statfs(d->dir, &fs)) {
        doctor_say(d, DOCTOR_BAD, "file system", "name a directory that is there", "%s: %s", d->dir,
                   strerror(errno));
        return;
    }
    snprintf(file, sizeof file, "%.4000s/.weft-doctor-%d-%lld", d->dir, (int)getpid(),
             (long long)(weft__now() * 1e9));
    const char *failed = try_out(file, d->dir, &seconds, &fallocates);
    if (failed) {
        doctor_say(d, DOCTOR_BAD, "file system", "use a directory that can be written",
                   "%s on %s: %s fails: %s", d->dir, type_of(&fs), failed, strerror(errno));
        return;
    }
    bool slow = seconds > SLOW;
    doctor_say(d, slow ? DOCTOR_WARN : DOCTOR_OK, "file system",
               slow ? "save less often, or to a faster one" : NULL,
               "%s is on %s; write, fsync, rename and fsync of the directory work, %.1f ms for "
               "1 MiB%s",
               d->dir, type_of(&fs), seconds * 1e3,
               fallocates ? ", fallocate too"
                          : "; fallocate does not: a full disk shows late in a save");
    look_at_space(d, &fs);
}

static void look_at_shared_memory(doctor *d)
{
    static const char cure[] =
        "remove what dead jobs left there (ls -l /dev/shm), give a container "
        "more (--shm-size), or set OMPI_MCA_btl=self,tcp";
    struct statfs fs;
    char left[32], whole[32];
    if (statfs("/dev/shm", &fs)) {
        doctor_say(d, DOCTOR_BAD, "shared memory", cure, "/dev/shm: %s", strerror(errno));
        return;
    }
    double bytes = (double)fs.f_bavail * (double)fs.f_bsize;
    bool bad = bytes < BYTES || access("/dev/shm", W_OK), little = bytes < SHARED;
    doctor_say(d,
               bad      ? DOCTOR_BAD
               : little ? DOCTOR_WARN
                        : DOCTOR_OK,
               "shared memory", bad || little ? cure : NULL, "%s free of %s in /dev/shm",
               tool_size(left, bytes), tool_size(whole, (double)fs.f_blocks * (double)fs.f_bsize));
}

void doctor_files(doctor *d)
{
    look_at_directory(d);
    look_at_shared_memory(d);
}
