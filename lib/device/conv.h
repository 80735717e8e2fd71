/* Convolutions of a device's other kernels, for devices, types and shapes that have nothing better. */
#ifndef DEVICE_CONV_H
#define DEVICE_CONV_H
#include <weft/sys/device.h>

/* What the kernels conv and conv_back do, by im2col, col2im, gemm_batch, binary, copy, sum and axpy of k. */
weft_status weft__convolve(const weft_kernels *k, WEFT_KERNEL_ARGS(conv));
weft_status weft__convolve_back(const weft_kernels *k, WEFT_KERNEL_ARGS(conv_back));
/* Sets t->some and t->room, from the others and what there is, for these kernels of a device and for those of the
 * CPU on so many threads. */
void weft__convolve_plan(weft_conv_terms *t, bool host, int threads, weft_dtype dt);
/* device/cpu/conv.c: what the CPU's need. */
int64_t weft__cpu_conv_room(const weft_conv_terms *t, int threads, weft_dtype dt);
#endif
