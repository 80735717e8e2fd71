/* Trains a small residual network on Fashion-MNIST and prints its accuracy on the test images.
 *
 *   mpirun -n 2 cnn --data DIR [--epochs N] [--steps N] [--width N] [--batch N] [--lr X]
 *                   [--run DIR] [--metrics FILE]
 *
 * DIR holds train.h5 and test.h5 as weft-idx2hdf5 writes them. --steps ends the training early; --width
 * is the number of channels of the first convolution. Weft's own options (--strategy, --precision,
 * --devices, --seed, ...) work too. The exit status is 0 if the accuracy is at least 0.92, 1 if it is
 * lower, and the error's otherwise. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

#define GOAL 0.92
#define SIDE 28 /* of an image */

/* Pixels 0..255 to mean 0 and deviation 1 over the training images. */
#define MEAN 0.2860
#define DEVIATION 0.3530
#define STANDARD .scale = 1 / (255 * DEVIATION), .shift = -MEAN / DEVIATION

typedef struct arguments {
    const char *data, *run, *metrics;
    int64_t epochs, steps, width, batch;
    double lr;
} arguments;

static int parse(int argc, char **argv, arguments *a)
{
    static const struct option known[] = {{"data", required_argument, NULL, 'd'},
                                          {"run", required_argument, NULL, 'r'},
                                          {"metrics", required_argument, NULL, 'm'},
                                          {"epochs", required_argument, NULL, 'e'},
                                          {"steps", required_argument, NULL, 's'},
                                          {"width", required_argument, NULL, 'w'},
                                          {"batch", required_argument, NULL, 'b'},
                                          {"lr", required_argument, NULL, 'l'},
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
        case 's':
            a->steps = strtol(optarg, NULL, 10);
            break;
        case 'w':
            a->width = strtol(optarg, NULL, 10);
            break;
        case 'b':
            a->batch = strtol(optarg, NULL, 10);
            break;
        case 'l':
            a->lr = strtod(optarg, NULL);
            break;
        default:
            return 0;
        }
    return optind == argc && a->epochs > 0 && a->steps >= 0 && a->width > 0 && a->batch > 0 &&
           a->lr > 0;
}

static weft_module *conv(weft_fabric *f, int64_t in, int64_t out, int64_t stride)
{
    return weft_nn_sequential(
        f,
        weft_nn_conv2d(f, in, out, 3, WEFT_CONV(.stride = stride, .padding = 1, .no_bias = true)),
        weft_nn_batchnorm(f, out));
}

/* relu(x + convolutions of x) */
static weft_module *block(weft_fabric *f, int64_t width)
{
    return weft_nn_sequential(
        f,
        weft_nn_residual(f, weft_nn_sequential(f, conv(f, width, width, 1), weft_nn_relu(f),
                                               conv(f, width, width, 1))),
        weft_nn_relu(f));
}

static weft_module *network(weft_fabric *f, int64_t width)
{
    return weft_nn_sequential(f, conv(f, 1, width, 1), weft_nn_relu(f),
                              weft_nn_max_pool2d(f, WEFT_POOL(.kernel = 2)), block(f, width),
                              conv(f, width, 2 * width, 2), weft_nn_relu(f), block(f, 2 * width),
                              weft_nn_global_avg_pool(f), weft_nn_linear(f, 2 * width, 10));
}

/* Half of the images are seen in a mirror: other ones in each epoch, the same on any number of ranks. */
static weft_status mirror(void *self, const weft_rows *r, void *const data[], char *why,
                          size_t size)
{
    const size_t pixel = *(const size_t *)self;
    (void)why, (void)size;
    for (int64_t i = 0; i < r->n; i++) {
        char *image = (char *)data[0] + (size_t)i * SIDE * SIDE * pixel, keep[sizeof(double)];
        for (size_t at = 0; at < SIDE * SIDE && weft_rows_uniform(r, i, 0) < 0.5; at++) {
            char *a = image + at * pixel,
                 *b = image + (at / SIDE * SIDE + SIDE - 1 - at % SIDE) * pixel;
            if (a >= b)
                continue;
            memcpy(keep, a, pixel);
            memcpy(a, b, pixel);
            memcpy(b, keep, pixel);
        }
    }
    return WEFT_OK;
}

static weft_tensor *images(weft_tensor *x)
{
    return weft_reshape(x, 4, (const int64_t[]){-1, 1, SIDE, SIDE});
}

/* Each of the test images once, whatever the number of ranks. */
static double evaluate(weft_fabric *f, weft_module *model, weft_loader *test)
{
    weft_metric *accuracy = weft_metric_accuracy(f, NULL);
    weft_train(model, false);
    weft_eval_begin(f);
    for (weft_batch b; weft_next(test, &b);)
        weft_metric_update(accuracy, weft_forward(model, images(b.x)), b.y);
    weft_eval_end(f);
    weft_train(model, true);
    return weft_metric_value(f, accuracy);
}

int main(int argc, char **argv)
{
    arguments a = {.data = ".",
                   .run = "run",
                   .metrics = "metrics.csv",
                   .epochs = 10,
                   .width = 32,
                   .batch = 128,
                   .lr = 4e-3};
    char path[2][4096];
    weft_fabric *f;
    if (weft_open(&f, &argc, &argv, WEFT_OPEN(.strategy = "ddp")))
        return weft_close(&f);
    if (!parse(argc, argv, &a))
        weft_fail(f, WEFT_EARG,
                  "usage: cnn [--data DIR] [--run DIR] [--metrics FILE] [--epochs N] [--steps N] "
                  "[--width N] [--batch N] [--lr X]");
    snprintf(path[0], sizeof path[0], "%s/train.h5", a.data);
    snprintf(path[1], sizeof path[1], "%s/test.h5", a.data);

    size_t pixel = strcmp(weft_precision_name(f), "64-true") ? sizeof(float) : sizeof(double);
    weft_module *model = network(f, a.width);
    weft_nn_sync_batchnorm(model); /* N ranks compute what one would */
    weft_optimizer *adam = weft_adam(model, WEFT_ADAM(.lr = a.lr));
    weft_loader *train =
        weft_loader_hdf5(f, path[0],
                         WEFT_LOADER(.global_batch = a.batch, .epochs = a.epochs, .shuffle = true,
                                     .transform = mirror, .transform_self = &pixel, STANDARD));
    weft_loader *test = weft_loader_hdf5(
        f, path[1], WEFT_LOADER(.global_batch = 500, .evaluation = true, STANDARD));
    const int64_t all = a.epochs * weft_loader_batches(train), steps = a.steps ? a.steps : all;
    weft_set_schedule(adam, WEFT_SCHEDULE(.total = steps));
    weft_logger_csv(f, a.metrics);
    weft_logger_console(f);

    weft_setup(f, model, adam);
    weft_setup_loader(f, train);
    weft_resume(f, a.run);

    for (weft_batch b; weft_step_count(f) < steps && weft_next(train, &b);) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(model, images(b.x)), b.y);
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
