/* What the subcommands of weft share. Each is called with its own name as argv[0] and returns the
 * exit status. */
#ifndef TOOLS_TOOL_H
#define TOOLS_TOOL_H
#include <stdbool.h>
#include <weft/status.h>

#define TOOL_USAGE 2 /* exit status of a command line that is wrong */

int tool_run(int argc, char **argv);
int tool_inspect(int argc, char **argv);
int tool_verify(int argc, char **argv);
int tool_export(int argc, char **argv);
int tool_import(int argc, char **argv);
int tool_doctor(int argc, char **argv);

/* Says the thread's last failure. @return the exit status of its code. */
int tool_failed(weft_status code);
/* Says what is wrong with the command line. @return TOOL_USAGE. */
int tool_misused(const char *format, ...) WEFT_PRINTF(1, 2);
/* The flag argv[k] is `name`. */
bool tool_is(const char *word, const char *name);
/* text in double quotes, as JSON has it, to stdout. */
void tool_json_text(const char *text);
/* "12.3 MiB" */
const char *tool_size(char out[32], double bytes);
/* Ends every process that our children left behind. @return how many there were. */
int tool_end_rest(void);
#endif
