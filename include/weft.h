/* Weft: Lightning Fabric for C. This header includes every public noun; <weft/mpi.h> alone stands
 * apart, because it needs mpi.h, and <weft/sys/...> holds the tables for people who extend Weft. */
#ifndef WEFT_H
#define WEFT_H
#include <weft/autograd.h>
#include <weft/base.h>
#include <weft/checkpoint.h>
#include <weft/collective.h>
#include <weft/conv.h>
#include <weft/data.h>
#include <weft/fabric.h>
#include <weft/log.h>
#include <weft/logger.h>
#include <weft/loss.h>
#include <weft/memory.h>
#include <weft/metric.h>
#include <weft/nn.h>
#include <weft/ops.h>
#include <weft/optim.h>
#include <weft/status.h>
#include <weft/tensor.h>
#include <weft/version.h>
#endif
