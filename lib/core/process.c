/* The one room of process-wide facts. */
#include "core/process.h"

#include "core/alloc.h"
#include "core/env.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t hdf5 = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

weft__process_facts weft__process = {.log_level = WEFT_LOG_INFO};

static void read_environment(void)
{
    static const char *const level[] = {"silent", "error", "warning", "info", "debug"};
    int chosen = weft__env_choice("WEFT_LOG_LEVEL", level, 5);
    int64_t countdown = 0;
    if (chosen >= 0)
        weft__process.log_level = (weft_level)chosen;
    if (weft__env_int("WEFT_FAIL_ALLOC", 1, INT64_MAX, &countdown) > 0)
        atomic_store(&weft__process.fail_alloc, (long)countdown);
}

void weft__process_lock(void)
{
    pthread_once(&once, read_environment);
    pthread_mutex_lock(&mutex);
}

void weft__process_unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

void weft__process_hdf5_lock(void)
{
    pthread_mutex_lock(&hdf5);
}

void weft__process_hdf5_unlock(void)
{
    pthread_mutex_unlock(&hdf5);
}

void weft__process_abandon(void *p)
{
    weft__process_facts *facts = &weft__process;
    weft__process_lock();
    if (!weft__grow(&facts->abandoned, &facts->abandoned_room, facts->nabandoned + 1, sizeof p))
        facts->abandoned[facts->nabandoned++] = p;
    weft__process_unlock();
}

int weft__process_enter(weft_fabric *f, uint32_t *generation)
{
    int id = 0;
    weft__process_lock();
    while (id < WEFT__FABRICS && weft__process.fabric[id].fabric)
        id++;
    if (id == WEFT__FABRICS) {
        id = -1;
    } else {
        weft__process.fabric[id].fabric = f;
        *generation = weft__process.fabric[id].generation;
    }
    weft__process_unlock();
    return id;
}

void weft__process_leave(int id, uint32_t generation)
{
    if (id < 0)
        return;
    weft__process_lock();
    weft__process.fabric[id].fabric = NULL;
    weft__process.fabric[id].generation = generation;
    weft__process_unlock();
}
