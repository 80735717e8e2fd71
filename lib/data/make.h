/* Making loaders over the library's own data sets. */
#ifndef DATA_MAKE_H
#define DATA_MAKE_H
#include "core/context.h"
#include "device/device.h"

#include <weft/sys/dataset.h>

/* As weft_loader_new; messages call the data set `label` and its fields name[] (an entry may be
 * NULL); all copied. */
weft_loader *weft__loader_make(weft_fabric *f, const weft_dataset_ops *ops, void *self,
                               int64_t rows, int fields, const weft_field *field, const char *label,
                               const char *const *name, const weft_loader_options *o);
/* Its rows lie in memory. @return the device on whose threads a batch is copied when it is asked for; NULL: none */
const weft_device *weft__loader_of_memory(weft_loader *l);
#endif
