/* Trains a 784-256-10 network on Fashion-MNIST and prints its accuracy on the test images.
 *
 *   mpirun -n 2 fashion_mnist --data DIR [--epochs N] [--run DIR] [--metrics FILE]
 *
 * DIR holds train.h5 and test.h5 as weft-idx2hdf5 writes them. Weft's own options (--strategy,
 * --devices, --seed, ...) work too. The exit status is 0 if the accuracy is at least 0.88, 1 if it is
 * lower, and the error's otherwise. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

#define GOAL 0.88

/* Pixels 0..255 to mean 0 and deviation 1 over the training images. */
#define MEAN 0.2860
#define DEVIATION 0.3530
#define STANDARD .scale = 1 / (255 * DEVIATION), .shift = -MEAN / DEVIATION

typedef struct arguments {
    const char *data, *run, *metrics;
    int64_t epochs;
} arguments;

static int parse(int argc, char **argv, arguments *a)
{
    static const struct option known[] = {{"data", required_argument, NULL, 'd'},
                                          {"run", required_argument, NULL, 'r'},
                                          {"metrics", required_argument, NULL, 'm'},
                                          {"epochs", required_argument, NULL, 'e'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (c) {
        case 'd':
            a->data = optarg;
            break;
        case 'r':
            a->run = optarg;
            break;
        case 'm':
            a->metrics = optarg;
            break;
        case 'e':
            a->epochs = strtol(optarg, NULL, 10);
            break;
        default:
            return 0;
        }
    return optind == argc && a->epochs > 0;
}

/* Each of the test images once, whatever the number of ranks. */
static double evaluate(weft_fabric *f, weft_module *model, weft_loader *test)
{
    weft_metric *accuracy = weft_metric_accuracy(f, NULL);
    weft_eval_begin(f);
    for (weft_batch b; weft_next(test, &b);)
        weft_metric_update(accuracy, weft_forward(model, b.x), b.y);
    weft_eval_end(f);
    return weft_metric_value(f, accuracy);
}

int main(int argc, char **argv)
{
    arguments a = {.data = ".", .run = "run", .metrics = "metrics.csv", .epochs = 10};
    char path[2][4096];
    weft_fabric *f;
    if (weft_open(&f, &argc, &argv, WEFT_OPEN(.strategy = "ddp")))
        return weft_close(&f);
    if (!parse(argc, argv, &a))
        weft_fail(f, WEFT_EARG,
                  "usage: fashion_mnist [--data DIR] [--run DIR] [--metrics FILE] "
                  "[--epochs N]");
    snprintf(path[0], sizeof path[0], "%s/train.h5", a.data);
    snprintf(path[1], sizeof path[1], "%s/test.h5", a.data);

    weft_module *model = weft_nn_sequential(f, weft_nn_linear(f, 784, 256), weft_nn_relu(f),
                                            weft_nn_linear(f, 256, 10));
    weft_optimizer *adam = weft_adam(model, WEFT_ADAM(.lr = 1e-3));
    weft_loader *train = weft_loader_hdf5(
        f, path[0],
        WEFT_LOADER(.global_batch = 128, .epochs = a.epochs, .shuffle = true, STANDARD));
    weft_loader *test = weft_loader_hdf5(
        f, path[1], WEFT_LOADER(.global_batch = 1000, .evaluation = true, STANDARD));
    weft_set_schedule(adam, WEFT_SCHEDULE(.total = a.epochs * weft_loader_batches(train)));
    weft_logger_csv(f, a.metrics);
    weft_logger_console(f);

    weft_setup(f, model, adam);
    weft_setup_loader(f, train);
    weft_resume(f, a.run);

    for (weft_batch b; weft_next(train, &b);) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(model, b.x), b.y);
        weft_zero_grad(adam);
        weft_backward(f, loss);
        weft_log_value(f, "lr", weft_lr(adam));
        weft_step(adam);
        weft_log(f, "loss", loss);
        if (weft_every(f, 1000))
            weft_save_async(f, a.run);
    }

    double accuracy = evaluate(f, model, test);
    if (!weft_error(f))
        weft_print(f, "test accuracy %.4f", accuracy);
    int status = weft_close(&f);
    return status ? status : accuracy < GOAL;
}
