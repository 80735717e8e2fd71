/* NCCL, as what moves the memory of CUDA devices (comm/direct.h). */
#ifndef COMM_NCCL_H
#define COMM_NCCL_H
#include "comm/direct.h"
#include "config.h"

#if HAVE_NCCL
#define WEFT__NCCL (&weft__nccl_ops)
#define WEFT__HAS_NCCL 1
extern const weft__direct_ops weft__nccl_ops;
#else
#define WEFT__NCCL NULL
#define WEFT__HAS_NCCL 0
#endif
#endif
