/* Linear layers of a device's other kernels, for devices, types and shapes that have nothing better. */
#ifndef DEVICE_LINEAR_H
#define DEVICE_LINEAR_H
#include <weft/sys/device.h>

/* What the kernels of the same names do, by gemm, copy, bias, unary, unary_back and sum of k. */
weft_status weft__linear(const weft_kernels *k, WEFT_KERNEL_ARGS(linear));
weft_status weft__linear_back(const weft_kernels *k, WEFT_KERNEL_ARGS(linear_back));
weft_status weft__linear_gelu_back(const weft_kernels *k, WEFT_KERNEL_ARGS(linear_gelu_back));
#endif
