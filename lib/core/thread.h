/* Threads of ours. */
#ifndef CORE_THREAD_H
#define CORE_THREAD_H
#include <pthread.h>

/* Runs run(self) in a thread that gets none of the process's signals: they belong to the program's own
 * threads. stack: bytes, thread-local memory included; 0: the system's default. @return 0 or an errno */
int weft__thread_start(pthread_t *t, size_t stack, void *(*run)(void *self), void *self);
#endif
