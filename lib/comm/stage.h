/* Memory of a device that a communicator does not reach travels by way of the host: copied before a call
 * and back behind it. */
#ifndef COMM_STAGE_H
#define COMM_STAGE_H
#include <weft/sys/comm.h>

/* From here on c's calls take addresses of d's own memory, too. WEFT_ENOTSUP if d does not know its own. */
weft_status weft__stage_open(weft_comm *c, weft_device *d);
/* Before d is closed. */
void weft__stage_close(weft_comm *c);
/* Puts copies in the host's memory in the place of what r has on the device; nothing where there is none. */
weft_status weft__stage_in(weft_comm *c, weft_request *r);
/* Behind the call, which ended with s: brings its result to where it belongs. After a failure of stage_in
 * too. @return s, or what went wrong here. */
weft_status weft__stage_out(weft_comm *c, weft_request *r, weft_status s);
#endif
