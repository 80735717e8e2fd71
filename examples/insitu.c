/* Heat in a plate that glows: a solver with an MPI of its own, which trains a network while it runs.
 *
 *   mpirun -n 4 insitu [--alone]
 *
 * The solver cuts the plate among its ranks by a cartesian communicator, steps
 * u' = u + K laplace(u) - GLOW u^4 + flame, and keeps what each row of its block radiates. Every second
 * rank trains a network to tell that from the row's temperatures, on the solver's own arrays. In the
 * end weft_infer asks it. With --alone there is no network. The lines that are Weft's are marked.
 *
 * Prints how far the network is off, as a share of what rows radiate, and a digest of the plate. The
 * exit status is 0 if that is below a tenth and nothing was copied, 1 if not, the error's otherwise. */
#include <mpi.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>     /* weft */
#include <weft/mpi.h> /* weft */

#define STEPS 600
#define ROWS 96
#define COLUMNS 64
#define K 0.2
#define GLOW 0.005

typedef struct plate {
    MPI_Comm cart;
    int at[2], near[4]; /* place in the grid of ranks; neighbours up, down, left, right */
    int rows, columns;  /* of this rank's block, */
    double *u, *next;   /* (rows + 2, columns + 2), with a rim of the neighbours' cells */
    double *glow;       /* (rows) what each row radiates */
} plate;

typedef struct surrogate {
    weft_fabric *f;       /* weft */
    weft_module *model;   /* weft */
    weft_optimizer *adam; /* weft */
    int strangers;        /* addresses that are not the solver's */
} surrogate;

static double *cell(const plate *p, double *u, int row, int column)
{
    return u + row * (p->columns + 2) + column;
}

static int build(plate *p)
{
    int ranks, dims[2] = {0, 0}, open[2] = {0, 0}, rank;
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Dims_create(ranks, 2, dims);
    MPI_Cart_create(MPI_COMM_WORLD, 2, dims, open, 1, &p->cart);
    MPI_Comm_rank(p->cart, &rank);
    MPI_Cart_coords(p->cart, rank, 2, p->at);
    MPI_Cart_shift(p->cart, 0, 1, &p->near[0], &p->near[1]);
    MPI_Cart_shift(p->cart, 1, 1, &p->near[2], &p->near[3]);
    p->rows = ROWS / dims[0], p->columns = COLUMNS / dims[1];
    p->u = calloc((size_t)(p->rows + 2) * (size_t)(p->columns + 2), sizeof *p->u);
    p->next = calloc((size_t)(p->rows + 2) * (size_t)(p->columns + 2), sizeof *p->next);
    p->glow = calloc((size_t)p->rows, sizeof *p->glow);
    for (int i = 1; i <= p->rows; i++)
        for (int j = 1; j <= p->columns; j++) {
            const double r = p->at[0] * p->rows + i, c = p->at[1] * p->columns + j;
            *cell(p, p->u, i, j) = 0.5 + 0.4 * sin(0.13 * r + 1) * cos(0.21 * c);
        }
    return ROWS % dims[0] == 0 && COLUMNS % dims[1] == 0;
}

static void exchange(const plate *p)
{
    const int m = p->rows, n = p->columns;
    const int edge[][2] = {{1, 1}, {m, 1}, {1, 1}, {1, n}};
    const int rim[][2] = {{m + 1, 1}, {0, 1}, {1, n + 1}, {1, 0}};
    MPI_Datatype line[2];
    MPI_Type_contiguous(n, MPI_DOUBLE, &line[0]);
    MPI_Type_vector(m, 1, n + 2, MPI_DOUBLE, &line[1]);
    MPI_Type_commit(&line[0]), MPI_Type_commit(&line[1]);
    for (int k = 0; k < 4;
         k++) /* an edge of ours to a neighbour, the opposite one's into our rim */
        MPI_Sendrecv(cell(p, p->u, edge[k][0], edge[k][1]), 1, line[k / 2], p->near[k], 0,
                     cell(p, p->u, rim[k][0], rim[k][1]), 1, line[k / 2], p->near[k ^ 1], 0,
                     p->cart, MPI_STATUS_IGNORE);
    MPI_Type_free(&line[0]), MPI_Type_free(&line[1]);
}

/* What the rows radiate now, and the plate one step later in p->next. A flame wanders over it. */
static void solve(plate *p, int step)
{
    const double r = ROWS * (0.5 + 0.4 * sin(0.05 * step)),
                 c = COLUMNS * (0.5 + 0.4 * cos(0.031 * step));
    exchange(p);
    for (int i = 1; i <= p->rows; i++) {
        p->glow[i - 1] = 0;
        for (int j = 1; j <= p->columns; j++) {
            const double *u = cell(p, p->u, i, j), dr = p->at[0] * p->rows + i - r;
            const double dc = p->at[1] * p->columns + j - c, hot = u[0] * u[0] * u[0] * u[0];
            *cell(p, p->next, i, j) =
                u[0] + K * (u[-1] + u[1] + u[-p->columns - 2] + u[p->columns + 2] - 4 * u[0]) -
                GLOW * hot + 0.003 * exp(-(dr * dr + dc * dc) / 300);
            p->glow[i - 1] += hot / p->columns;
        }
    }
}

static uint64_t digest(const plate *p)
{
    uint64_t h = 0, all = 0;
    for (int i = 1; i <= p->rows; i++)
        for (int j = 1; j <= p->columns; j++) {
            const int place = (p->at[0] * p->rows + i) * COLUMNS + p->at[1] * p->columns + j;
            uint64_t bits;
            memcpy(&bits, cell(p, p->u, i, j), sizeof bits);
            h += bits * (2 * (uint64_t)place + 1);
        }
    MPI_Allreduce(&h, &all, 1, MPI_UINT64_T, MPI_SUM, p->cart);
    return all;
}

/* On every second rank. */
static void begin(surrogate *s, const plate *p)
{
    const int64_t sizes[] = {p->columns + 2, 32, 1};
    MPI_Comm ranks;
    int rank;
    MPI_Comm_rank(p->cart, &rank);
    MPI_Comm_split(p->cart, rank % 2 ? MPI_UNDEFINED : 0, rank, &ranks);
    if (ranks == MPI_COMM_NULL)
        return;
    weft_open_mpi(&s->f, ranks, WEFT_OPEN(.precision = "64-true"));         /* weft */
    s->model = weft_nn_mlp(s->f, 3, sizes, WEFT_MLP(.activation = "gelu")); /* weft */
    s->adam = weft_adam(s->model, WEFT_ADAM(.lr = 1e-2));                   /* weft */
    weft_set_schedule(s->adam, WEFT_SCHEDULE(.total = STEPS));              /* weft */
    weft_setup(s->f, s->model, s->adam);                                    /* weft */
    MPI_Comm_free(&ranks);
}

/* One training step on the rows of the block as they lie in the solver's memory. */
static void train(surrogate *s, const plate *p)
{
    const int64_t many[] = {p->rows, p->columns + 2}, one[] = {p->rows, 1};
    double *rows = cell(p, p->u, 1, 0);
    weft_tensor *x = weft_wrap(s->f, rows, 2, many, WEFT_F64);                           /* weft */
    weft_tensor *y = weft_wrap(s->f, p->glow, 2, one, WEFT_F64);                         /* weft */
    weft_batch b = weft_batch_of(s->f, x, y, 0, 0);                                      /* weft */
    weft_tensor *loss = weft_mse_loss(weft_forward(s->model, b.x), b.y, NULL);           /* weft */
    s->strangers += weft_data_pointer(b.x) != rows || weft_data_pointer(b.y) != p->glow; /* weft */
    weft_zero_grad(s->adam);                                                             /* weft */
    weft_backward(s->f, loss);                                                           /* weft */
    weft_step(s->adam);                                                                  /* weft */
    weft_step_end(s->f); /* weft: the solver may write there again */
}

/* The network against the solver, over the ranks that train. @return for main */
static int end(surrogate *s, const plate *p)
{
    const double copies = (double)weft_traffic_count(s->f).copies; /* weft */
    double *rows = cell(p, p->u, 1, 0), guess[ROWS], sums[] = {0, 0, s->strangers, copies};
    const int64_t many[] = {p->rows, p->columns + 2};
    weft_infer(s->model, rows, 2, many, WEFT_F64, guess, p->rows, WEFT_F64); /* weft */
    for (int i = 0; i < p->rows; i++) {
        sums[0] += pow(guess[i] - p->glow[i], 2);
        sums[1] += pow(p->glow[i], 2);
    }
    weft_sum_over_ranks(s->f, sums, 4); /* weft */
    const double off = sqrt(sums[0] / sums[1]);
    if (!weft_error(s->f) && weft_is_global_zero(s->f)) /* weft */
        printf("off by %.4f; strange addresses: %g, copies: %g\n", off, sums[2], sums[3]);
    const int status = weft_close(&s->f); /* weft */
    return status ? status : !(off < 0.1) || sums[2] > 0 || sums[3] > 0;
}

int main(int argc, char **argv)
{
    int status = 0;
    plate p;
    surrogate s = {0};
    MPI_Init(&argc, &argv);
    if (!build(&p))
        MPI_Abort(MPI_COMM_WORLD, 2);
    if (argc < 2 || strcmp(argv[1], "--alone"))
        begin(&s, &p);
    for (int step = 0; step < STEPS; step++) {
        solve(&p, step);
        if (s.f)
            train(&s, &p);
        double *old = p.u;
        p.u = p.next, p.next = old;
    }
    solve(&p, STEPS);
    const unsigned long long sum = digest(&p);
    if (s.f)
        status = end(&s, &p);
    if (p.at[0] == 0 && p.at[1] == 0)
        printf("plate %016llx\n", sum);
    MPI_Allreduce(MPI_IN_PLACE, &status, 1, MPI_INT, MPI_MAX, p.cart);
    free(p.u), free(p.next), free(p.glow);
    MPI_Comm_free(&p.cart);
    MPI_Finalize();
    return status;
}
