/* The memory that batches are made in, where a device copies from it beside the host. */
#ifndef DATA_PINNED_H
#define DATA_PINNED_H
#include <weft/sys/device.h>

typedef struct weft__pinned {
    weft_device *device; /* NULL: it does not; all that follows does nothing */
    const char *memory;
    size_t bytes;
    weft_dev at; /* where the device has the memory */
    weft_event *copied;
    bool busy; /* copies were enqueued that nobody waited for */
} weft__pinned;

/* The memory of somebody else's, from once to its end. A device that computes in it, or does not reach it, has
 * no use for that. */
void weft__pinned_open(weft__pinned *p, weft_device *d, void *memory, size_t bytes);
/* Waits for what was enqueued. */
void weft__pinned_close(weft__pinned *p);
/* Where the device has what is at an address of that memory, for copies in the stream's order; addr 0:
 * nowhere. */
weft_dev weft__pinned_at(const weft__pinned *p, const void *from);
/* Copies were enqueued, and until they are over, what they read must stay. */
weft_status weft__pinned_read(weft__pinned *p, weft_stream *s);
weft_status weft__pinned_wait(weft__pinned *p);
#endif
