/* The learning rate as a function of the optimizer's step. */
#ifndef OPTIM_SCHEDULE_H
#define OPTIM_SCHEDULE_H
#include <weft/optim.h>
#include <weft/sys/state.h>

typedef struct weft__schedule weft__schedule;
typedef double weft__rate(const weft__schedule *s, double lr, int64_t u, int group);

/* A plateau's: in the checkpoint, the rest is the program's. */
typedef struct weft__plateau {
    int64_t improvements, bad, cooling, reductions; /* bad: values in a row */
    double best;                                    /* if there were improvements */
} weft__plateau;

struct weft__schedule {
    weft__rate *rate;        /* NULL: constant, no warm-up */
    weft_schedule_options o; /* defaults filled in; milestones are a copy */
    bool largest, absolute;  /* a plateau's */
    weft__plateau plateau;
};

/* The rate of a group with base rate lr after `steps` steps. */
double weft__schedule_rate(const weft__schedule *s, double lr, int64_t steps, int group);
weft_status weft__schedule_state(weft__schedule *s, weft_visitor *v);
/* Its kind and numbers as text, in parts: part 0, 1, ... until false. */
bool weft__schedule_text(const weft__schedule *s, int64_t part, char *text, size_t size);

bool weft__plateau_ok(weft__schedule *s);
double weft__plateau_rate(const weft__schedule *s, double lr, int64_t u, int group);
void weft__plateau_take(weft__schedule *s, double value);
#endif
