/* Version of the header and of the library that is linked. */
#ifndef WEFT_VERSION_H
#define WEFT_VERSION_H
#include <weft/base.h>
#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0
#define WEFT_VERSION_GE(a, b, c)                                                                   \
    (WEFT_VERSION_MAJOR * 10000 + WEFT_VERSION_MINOR * 100 + WEFT_VERSION_PATCH >=                 \
     (a)*10000 + (b)*100 + (c))
WEFT_BEGIN
/* "0.1.0", of the library at run time. Borrowed for ever. */
WEFT_API const char *weft_version(void);
WEFT_END
#endif
