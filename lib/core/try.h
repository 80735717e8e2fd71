/* Hands a failure on. */
#ifndef CORE_TRY_H
#define CORE_TRY_H
#define WEFT_TRY(call)                                                                             \
    do {                                                                                           \
        weft_status try_ = (call);                                                                 \
        if (try_ < 0)                                                                              \
            return try_;                                                                           \
    } while (0)
#endif
