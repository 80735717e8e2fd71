/* Starting a thread. */
#include "core/thread.h"

#include <errno.h>
#include <signal.h>

int weft__thread_start(pthread_t *t, size_t stack, void *(*run)(void *self), void *self)
{
    sigset_t all, before;
    pthread_attr_t a;
    pthread_attr_init(&a);
    if (stack)
        pthread_attr_setstacksize(&a, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(t, &a, run, self);
    if (rc == EINVAL) /* thread-local memory that does not fit: a sanitizer's */
        rc = pthread_create(t, NULL, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&a);
    return rc;
}
