/* Matrices that lie the other way round in a file. */
#ifndef TOOLS_TRANSPOSE_H
#define TOOLS_TRANSPOSE_H
#include <weft/sys/state.h>

/* Swaps the two extents of item and, unless data is NULL, its elements there. WEFT_ESHAPE if it is no
 * matrix, WEFT_ENOMEM. */
weft_status transpose(const char *name, void *data, weft_state_item *item);
#endif
