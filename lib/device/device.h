/* Opening a device by name; memory by device. */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H
#include <weft/sys/device.h>

/* The table of the device that an accelerator name stands for: "auto" (NULL too), a GPU if this build and
 * this machine have one, else the cpu; "cpu", "mock"; "gpu" and "cuda", the same; a known name that
 * this build does not have is WEFT_ENOTSUP, any other WEFT_EARG with the nearest. */
weft_status weft__device_find(const char *accelerator, const weft_device_ops **ops);
/* Opens it. An ops table with a REQUIRED entry missing is refused. */
weft_status weft__device_open(weft_device **out, const char *accelerator, int index, int threads);
/* The same for a table of the caller's own. */
weft_status weft__device_open_ops(weft_device **out, const weft_device_ops *ops, int index,
                                  int threads);
void weft__device_close(weft_device *d);
/* Enters memory that someone else allocated for the device with status s, which it returns: with
 * WEFT_ENOMEM the message tells what is held. */
weft_status weft__device_account(weft_device *d, weft_status s, size_t bytes,
                                 weft_memory_kind kind);
/* Memory of a kind came (bytes > 0) or went (< 0). */
void weft__device_count(weft_device *d, int64_t bytes, weft_memory_kind kind);
/* Of a kind, or, with -1, of all: its peak is that of the sum. */
weft_memory_use weft__device_use(const weft_device *d, int kind);
/* "3.0 MiB (params 1.0 MiB, moments 2.0 MiB)": what is held, or was at most. About 200 bytes.
 * @return text. */
const char *weft__device_text(const weft_device *d, bool peak, char *text, size_t size);
/* WEFT_ENOMEM: who asked for how much of what, what is held, and the thread's last message. */
weft_status weft__device_full(const weft_device *d, size_t bytes, weft_memory_kind kind);
/* Peaks are what is held now. */
void weft__device_forget_peak(weft_device *d);
/* An account of the device's own; weft__device_open does it. */
weft_status weft__ledger_open(weft_device *d);
/* The host address of device memory, or NULL. */
void *weft__device_host(weft_device *d, weft_dev p);
/* Makes host memory of somebody else's reachable by kernels, until it is unimported. WEFT_ENOTSUP if
 * the device cannot. */
weft_status weft__device_import(weft_device *d, void *host, size_t bytes, weft_dev *out);
void weft__device_unimport(weft_device *d, weft_dev p, size_t bytes);
/* "1.5 MiB" */
#define WEFT__SIZE_TEXT 24
const char *weft__size_text(double bytes, char text[WEFT__SIZE_TEXT]);
/* graph.c. Whether the device makes graphs. */
bool weft__graph_can(const weft_device *d);
/* From here on the work of a step on the stream is launched as graphs, until _close, which comes before
 * the stream goes. */
weft_status weft__graph_open(weft_device *d, weft_stream *s);
void weft__graph_close(weft_device *d);
/* A step begins: what the calling thread asks for on the stream is one sequence, up to the next edge. */
void weft__graph_step(weft_device *d);
/* The device has all of it. @return what went wrong with that. */
weft_status weft__graph_edge(weft_device *d);
/* Graphs launched so far; *calls: in place of so many calls. */
int64_t weft__graph_launches(const weft_device *d, int64_t *calls);
/* WEFT_ENOTSUP, naming op, device and type. */
weft_status weft__no_kernel(weft_device *d, const char *kernel, weft_dtype t);

extern const weft_device_ops weft__cpu, weft__mock_device, weft__cuda_device;

static inline weft_dev weft__at(weft_dev p, int64_t bytes)
{
    weft_dev q = {p.addr + (uintptr_t)bytes};
    return q;
}
#endif
