/* Progress on stderr. On a terminal one line is redrawn in place, elsewhere a line comes every few
 * seconds:
 *
 *     epoch 3/10 [====>     ] 42%  loss 0.3121  acc 0.91  12.3k samples/s  left 0:01:23
 *
 * Each is one write, so that lines of other ranks and of messages stay whole. */
#include "core/env.h"
#include "logger/logger.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LINE 256
#define METRICS 8
#define NAME 24
#define MARKS 40    /* points of the window that rates are taken over, */
#define SPACING .25 /* this many seconds apart at least: the window is 10 s */
#define REDRAW .1   /* seconds */
#define BAR 10

struct console {
    double seconds; /* between lines that are not redrawn */
    bool begun, tty, shown, news;
    double start, drawn; /* times */
    int64_t step, epoch, epochs, done, total, global_batch;
    struct {
        char name[NAME];
        double value;
    } metric[METRICS];
    int metrics;
    struct {
        double time;
        int64_t at;
    } mark[MARKS];
    int marks; /* ever made; the last MARKS are there */
    int width; /* of the line on the terminal */
};

/* A line being put together: text that does not fit is left out whole. */
struct line {
    char text[LINE];
    int n, room;
};

static void put(struct line *l, const char *format, ...) WEFT_PRINTF(2, 3);
static void put(struct line *l, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->n, (size_t)(LINE - l->n), format, args);
    va_end(args);
    if (n > 0 && l->n + n <= l->room)
        l->n += n;
    l->text[l->n] = '\0';
}

static int64_t at(const struct console *c)
{
    return c->total ? c->done : c->step;
}

static void mark(struct console *c, double now)
{
    if (c->marks && now - c->mark[(c->marks - 1) % MARKS].time < SPACING)
        return;
    c->mark[c->marks % MARKS].time = now;
    c->mark[c->marks % MARKS].at = at(c);
    c->marks++;
    if (c->marks >= 2 * MARKS)
        c->marks -= MARKS; /* the same places, and no overflow in a long run */
}

/* Batches (or steps) a second over the window; 0 while it is not known. */
static double rate(const struct console *c, double now)
{
    int oldest = c->marks > MARKS ? c->marks % MARKS : 0;
    double t = now - c->mark[oldest].time;
    int64_t n = at(c) - c->mark[oldest].at;
    return c->marks && n > 0 && t > 0 ? (double)n / t : 0;
}

static void put_time(struct line *l, const char *what, double s)
{
    long long t = s < 3.6e9 ? (long long)(s + .5) : 3600000000;
    put(l, "  %s %lld:%02d:%02d", what, t / 3600, (int)(t / 60 % 60), (int)(t % 60));
}

static void put_rate(struct line *l, double x, const char *unit)
{
    static const char *const scale[] = {"", "k", "M", "G", "T"};
    int i = 0;
    for (; x >= 999.5 && i < 4; i++)
        x /= 1000;
    put(l, "  %.3g%s %s/s", x, scale[i], unit);
}

static void put_position(const struct console *c, struct line *l)
{
    if (!c->total) {
        put(l, "step %lld", (long long)c->step);
        return;
    }
    double share = (double)(c->done < c->total ? c->done : c->total) / (double)c->total;
    int64_t epoch = c->epochs && c->epoch >= c->epochs ? c->epochs : c->epoch + 1;
    int full = (int)(share * BAR);
    put(l, "epoch %lld", (long long)epoch);
    if (c->epochs)
        put(l, "/%lld", (long long)c->epochs);
    if (c->tty && full < BAR)
        put(l, " [%.*s>%*s]", full, "==========", BAR - 1 - full, "");
    else if (c->tty)
        put(l, " [==========]");
    put(l, " %d%%", (int)(share * 100));
    if (!c->tty)
        put(l, "  step %lld", (long long)c->step);
}

static void put_end(const struct console *c, struct line *l, double now, bool last)
{
    double r = rate(c, now);
    if (r > 0 && c->total && c->global_batch)
        put_rate(l, r * (double)c->global_batch, "samples");
    else if (r > 0)
        put_rate(l, r, "steps");
    if (last)
        put_time(l, "took", now - c->start);
    else if (r > 0 && c->total)
        put_time(l, "left", (double)(c->total > c->done ? c->total - c->done : 0) / r);
}

static int columns(void)
{
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || w.ws_col < 2)
        return 79;
    return w.ws_col < LINE - 4 ? w.ws_col - 1 : LINE - 4;
}

static void draw(struct console *c, double now, bool last)
{
    struct line end = {.room = LINE - 4}, l = {.room = c->tty ? columns() : LINE - 4};
    int width = l.room, lead = c->tty;
    l.room += lead;
    put(&l, "%s", lead ? "\r" : "");
    put_position(c, &l);
    put_end(c, &end, now, last);
    l.room -= end.n; /* the rate and the time come first where room is short */
    for (int i = 0; i < c->metrics; i++)
        put(&l, "  %s %.4g", c->metric[i].name, c->metric[i].value);
    l.room += end.n;
    put(&l, "%s", end.text);
    int used = l.n - lead, before = c->width < width ? c->width : width;
    if (c->tty && before > used) /* blanks instead of erasing first: no flicker */
        put(&l, "%*s", before - used, "");
    c->width = used;
    if (!c->tty || last)
        l.text[l.n++] = '\n';
    if (write(STDERR_FILENO, l.text, (size_t)l.n) < 0)
        return; /* nobody to tell */
    c->shown = true;
    c->news = false;
    c->drawn = now;
}

static double begin(struct console *c)
{
    double now = weft__now();
    if (!c->begun) {
        c->begun = true;
        c->tty = isatty(STDERR_FILENO);
        c->start = c->drawn = now;
    }
    return now;
}

/* Where training stands, as far as the record says. */
static void take_position(struct console *c, const weft_record *r)
{
    c->step = r->step;
    c->epoch = r->epoch;
    if (r->batches_total > 0) {
        if (!c->total)
            c->marks = 0; /* they counted steps */
        c->done = r->batches;
        c->total = r->batches_total;
        c->global_batch = r->global_batch;
        c->epochs = r->epochs;
    }
    c->news = true;
}

static void take_value(struct console *c, const char *name, double value)
{
    char clean[NAME];
    int i = 0, n = 0;
    for (; name[n] && n < NAME - 1; n++)
        clean[n] = name[n] >= ' ' && name[n] < 127 ? name[n] : '?';
    clean[n] = '\0';
    while (i < c->metrics && strcmp(c->metric[i].name, clean))
        i++;
    if (i == METRICS)
        return;
    if (i == c->metrics) {
        c->metrics++;
        if (strcmp(clean, "loss") == 0) {
            memmove(c->metric + 1, c->metric, (size_t)i * sizeof c->metric[0]);
            i = 0;
        }
        memcpy(c->metric[i].name, clean, NAME);
    }
    c->metric[i].value = value;
}

static weft_status progress(void *self, const weft_record *r)
{
    struct console *c = self;
    double now = begin(c);
    take_position(c, r);
    mark(c, now);
    if (now - c->drawn >= (c->tty ? REDRAW : c->seconds) || (c->tty && !c->shown))
        draw(c, now, false);
    return WEFT_OK;
}

static weft_status record(void *self, const weft_record *r)
{
    struct console *c = self;
    double now = begin(c);
    bool first = !c->metrics;
    take_position(c, r);
    for (int64_t i = 0; i < r->n; i++)
        take_value(c, r->name[i], r->value[i]);
    if (first || now - c->drawn >= (c->tty ? REDRAW : c->seconds))
        draw(c, now, false);
    return WEFT_OK;
}

static void finish(void *self)
{
    struct console *c = self;
    if (c->begun && (c->tty ? c->shown : c->news))
        draw(c, weft__now(), true);
    c->shown = c->news = false;
    c->width = 0;
}

static const weft_logger_ops console = {.size = sizeof(weft_logger_ops),
                                        .name = "console",
                                        .record = record,
                                        .progress = progress,
                                        .finish = finish};

weft_logger *weft_logger_console(weft_fabric *f)
{
    struct console c = {0};
    int64_t seconds = 5;
    if (!f)
        return NULL;
    if (weft__env_int("WEFT_PROGRESS_SECONDS", 0, 86400, &seconds) < 0)
        weft__note(f, WEFT_EARG); /* and goes on with the default */
    c.seconds = (double)seconds;
    return weft_logger_new(f, &console, &c, sizeof c);
}
