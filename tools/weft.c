/* weft: one program, a subcommand a file. */
#include "tool.h"

#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft/version.h>

static const struct {
    const char *name, *does;
    int (*run)(int argc, char **argv);
} command[] = {
    {"run", "starts a program as ranks, on this machine, on hosts or in a Slurm job", tool_run},
    {"inspect", "shows what a checkpoint, or a directory of them, holds", tool_inspect},
    {"verify", "compares every byte of checkpoints with its digest", tool_verify},
    {"export", "writes a module's tensors as a safetensors file", tool_export},
    {"import", "makes a checkpoint of a safetensors file", tool_import},
    {"doctor", "looks for what is wrong with this machine, and says the cure", tool_doctor},
};

#define COMMANDS ((int)(sizeof command / sizeof command[0]))

static void usage(FILE *to)
{
    fputs("usage: weft COMMAND [options]\n\n", to);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", command[i].name, command[i].does);
    fputs("\nweft COMMAND --help shows its options, weft --version the version.\n", to);
}

int tool_failed(weft_status code)
{
    fprintf(stderr, "weft: %s\n", weft__why());
    return -code;
}

int tool_misused(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("weft: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return TOOL_USAGE;
}

bool tool_is(const char *word, const char *name)
{
    return strcmp(word, name) == 0;
}

void tool_json_text(const char *text)
{
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p == '"' || *p == '\\')
            printf("\\%c", *p);
        else if (*p < ' ')
            printf("\\u%04x", *p);
        else
            putchar(*p);
    putchar('"');
}

const char *tool_size(char out[32], double bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 5; u++)
        bytes /= 1024;
    snprintf(out, 32, bytes < 10 && u ? "%.1f %s" : "%.0f %s", bytes, unit[u]);
    return out;
}

/* stdout may be a full disk: what was not written is a failure. */
static int finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    perror("weft: stdout");
    return status ? status : 1;
}

int main(int argc, char **argv)
{
    for (int i = 0; i < COMMANDS && argc > 1; i++)
        if (tool_is(argv[1], command[i].name))
            return finish(command[i].run(argc - 1, argv + 1));
    if (argc > 1 && tool_is(argv[1], "--version"))
        return finish(printf("weft %s\n", weft_version()) < 0);
    if (argc > 1 && (tool_is(argv[1], "--help") || tool_is(argv[1], "help")))
        return usage(stdout), finish(0);
    if (argc > 1)
        tool_misused("there is no command \"%.60s\"", argv[1]);
    usage(stderr);
    return TOOL_USAGE;
}
