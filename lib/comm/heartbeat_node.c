/* The memory that the ranks of a node share for the heartbeat. */
#include "comm/heartbeat_self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share atomics");

static size_t bytes_for(int ranks)
{
    return sizeof(weft__node) + (size_t)ranks * sizeof(weft__cell);
}

static weft_status map(int fd, int ranks, weft__node **out)
{
    void *p = mmap(NULL, bytes_for(ranks), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int e = errno;
    close(fd);
    errno = e;
    if (p == MAP_FAILED)
        return weft__fail_errno(WEFT_ENOMEM, "heartbeat: mapping %zu bytes", bytes_for(ranks));
    *out = p;
    return WEFT_OK;
}

static weft_status init(weft__node *n, int ranks)
{
    pthread_mutexattr_t a;
    int bad = pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    for (int i = 0; i < ranks; i++)
        bad |= pthread_mutex_init(&n->cell[i].alive, &a);
    pthread_mutexattr_destroy(&a);
    errno = bad;
    return bad ? weft__fail_errno(WEFT_ENOMEM, "heartbeat: a robust mutex") : WEFT_OK;
}

/* posix_fallocate: a full /dev/shm must be an error here and not a SIGBUS later. */
weft_status weft__node_create(int ranks, char name[64], weft__node **out)
{
    uint64_t key = 0;
    if (getrandom(&key, sizeof key, 0) != sizeof key)
        return weft__fail_errno(WEFT_EIO, "heartbeat: getrandom");
    snprintf(name, 64, "/weft-heartbeat-%016llx", (unsigned long long)key);
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        name[0] = '\0';
        return weft__fail_errno(WEFT_EIO, "heartbeat: a file in /dev/shm; heartbeat=off does "
                                          "without");
    }
    errno = posix_fallocate(fd, 0, (off_t)bytes_for(ranks));
    if (errno) {
        weft_status s = weft__fail_errno(WEFT_ENOMEM,
                                         "heartbeat: no room for %zu bytes in /dev/shm; make room, "
                                         "or heartbeat=off does without",
                                         bytes_for(ranks));
        close(fd);
        return s;
    }
    WEFT_TRY(map(fd, ranks, out));
    return init(*out, ranks);
}

weft_status weft__node_attach(int ranks, const char *name, weft__node **out)
{
    struct stat s;
    int fd = shm_open(name, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return weft__fail_errno(WEFT_EIO,
                                "heartbeat: /dev/shm%s of the node's first rank is not "
                                "here; ranks that share a node must share /dev/shm, "
                                "or heartbeat=off does without",
                                name);
    if (fstat(fd, &s) || s.st_uid != geteuid() || s.st_size != (off_t)bytes_for(ranks)) {
        close(fd);
        return weft__fail(WEFT_EIO, "heartbeat: /dev/shm%s is not what this job made", name);
    }
    return map(fd, ranks, out);
}

void weft__node_unlink(const char *name)
{
    if (name[0])
        shm_unlink(name);
}

void weft__node_detach(weft__node *n, int ranks)
{
    if (n)
        munmap(n, bytes_for(ranks));
}

void weft__cell_write(weft__cell *c, const weft__progress *p)
{
    uint64_t word[WEFT__WORDS];
    uint32_t v = atomic_load_explicit(&c->version, memory_order_relaxed);
    memcpy(word, p, sizeof word);
    atomic_store_explicit(&c->version, v + 1, memory_order_relaxed);
    for (size_t i = 0; i < WEFT__WORDS; i++) /* release: not before the version */
        atomic_store_explicit(&c->progress[i], word[i], memory_order_release);
    atomic_store_explicit(&c->version, v + 2, memory_order_release);
}

bool weft__cell_read(weft__cell *c, weft__progress *p)
{
    uint64_t word[WEFT__WORDS];
    for (int tries = 0; tries < 100; tries++) {
        uint32_t v = atomic_load_explicit(&c->version, memory_order_acquire);
        for (size_t i = 0; i < WEFT__WORDS; i++)
            word[i] = atomic_load_explicit(&c->progress[i], memory_order_acquire);
        if (v % 2 == 0 && atomic_load_explicit(&c->version, memory_order_relaxed) == v) {
            memcpy(p, word, sizeof *p);
            p->name[sizeof p->name - 1] = '\0';
            return true;
        }
    }
    return false;
}

bool weft__cell_dead(weft__cell *c)
{
    int rc = pthread_mutex_trylock(&c->alive);
    if (rc == EOWNERDEAD) {
        atomic_store(&c->dead, 1);
        pthread_mutex_consistent(&c->alive);
    }
    if (rc == 0 || rc == EOWNERDEAD)
        pthread_mutex_unlock(&c->alive);
    return atomic_load(&c->dead);
}

char weft__process_state(int pid)
{
    char path[40], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return '?';
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    char *after = n > 0 ? strrchr(text, ')') : NULL;
    return after && after[1] == ' ' && after[2] ? after[2] : '?';
}
