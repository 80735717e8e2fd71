/* A stand-in for CUDA's run time, whole: with it a program that is linked to the library's objects takes
 * no GPU, and no driver. Memory of its devices is the host's. What is enqueued is done when it is waited
 * for, in the order that streams and events ask for and no sooner; kernels do nothing. It sees where a
 * context is made, and copies that would hold up the host. */
#ifndef TESTS_CUDA_STANDIN_H
#define TESTS_CUDA_STANDIN_H
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#define STANDIN_DEVICES 8

typedef struct standin {
    int devices, driver;
    cudaError_t count;        /* what asking for their number gives */
    size_t room;              /* bytes of each */
    bool refuses_pages;       /* to register host memory */
    int bus[STANDIN_DEVICES]; /* of the PCI bus; 0: its number plus one */
    /* What it saw. */
    unsigned contexts; /* of devices, as bits */
    int pageable;      /* copies from or to host memory that is not pinned */
    int direct;        /* copies from host memory that was registered */
    int plain;         /* work on the default stream */
    int changed;       /* copies of what was another when they were enqueued */
    int stale;         /* copies from or to memory that was freed */
    int foreign;       /* streams and events that were used with another device's context */
    int launches, stream_waits, event_waits;
    int pinned, registered, streams, events; /* that there are */
    size_t used;                             /* bytes of all devices */
} standin;

extern standin cuda;
extern _Thread_local int standin_current; /* the thread's device */
/* As it is at first, with so many devices of 64 MiB. */
void standin_reset(int devices);
/* What a call of the thread's gave is its last error. */
cudaError_t standin_give(cudaError_t e);
#endif
