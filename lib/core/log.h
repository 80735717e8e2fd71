/* Messages to people. */
#ifndef CORE_LOG_H
#define CORE_LOG_H
#include <weft/log.h>

/* One line, "weft: warning: ..."; control bytes are replaced. Any thread. */
void weft__say(weft_level level, const char *format, ...) WEFT_PRINTF(2, 3);
#endif
