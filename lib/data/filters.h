/* HDF5's standard filters, backwards. */
#ifndef DATA_FILTERS_H
#define DATA_FILTERS_H
#include <stdint.h>
#include <zlib.h>

/* The numbers of the file format. */
enum { WEFT__DEFLATE = 1, WEFT__SHUFFLE = 2, WEFT__FLETCHER32 = 3 };

/* Takes in[0..*n) back through a filter to out, which has `room` bytes; *n becomes the bytes there.
 * WEFT__FLETCHER32 checks, and leaves the bytes where they are. @return NULL, or what is wrong. */
const char *weft__unfilter(int filter, z_stream *zip, int64_t element, char *in, int64_t *n,
                           char *out, int64_t room);
#endif
