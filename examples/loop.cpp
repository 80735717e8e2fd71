// The README's loop as C++20, on data in a std::vector: which of three arms of a spiral is a point on?
//
//   loop [options of weft_open]
//
// Prints the share of new points that it gets right. The exit status is 0 if that is at least 0.9, 1 if it is less, and the
// error's otherwise.
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>
#include <weft.h>

namespace
{
constexpr int arms = 3;
constexpr double goal = 0.9;

struct Points {
    std::vector<float> x; // (rows, 2)
    std::vector<std::int32_t> arm;

    Points(std::int64_t rows, unsigned seed)
    {
        std::mt19937 random(seed);
        std::uniform_real_distribution<double> uniform(0, 1);
        for (std::int64_t i = 0; i < rows; i++) {
            const auto k = static_cast<std::int32_t>(i % arms);
            const double r = uniform(random), turn = 4 * r + 2 * M_PI * k / arms + 0.2 * uniform(random);
            x.insert(x.end(), {static_cast<float>(r * std::cos(turn)), static_cast<float>(r * std::sin(turn))});
            arm.push_back(k);
        }
    }

    weft_loader *loader(weft_fabric *f, const weft_loader_options *o) const
    {
        const std::int64_t shape[] = {2};
        return weft_loader_arrays(f, static_cast<std::int64_t>(arm.size()), x.data(), 1, shape, WEFT_F32, arm.data(), WEFT_I32,
                                  o);
    }
};

double accuracy(weft_fabric *f, weft_module *model, weft_loader *test)
{
    double count[2] = {0, 0}; // right, all
    weft_eval_begin(f);
    for (weft_batch b; weft_next(test, &b);) {
        count[0] += weft_item(weft_count_correct(weft_forward(model, b.x), b.y));
        count[1] += static_cast<double>(b.rows);
    }
    weft_eval_end(f);
    return weft_sum_over_ranks(f, count, 2) ? 0 : count[0] / count[1];
}
} // namespace

int main(int argc, char **argv)
{
    const Points some(1536, 1), others(600, 2); // outlive the fabric, which borrows them
    weft_fabric *f;
    if (weft_open(&f, &argc, &argv, WEFT_OPEN(.strategy = "auto", .seed = 3)))
        return weft_close(&f);

    weft_module *model = weft_nn_sequential(f, weft_nn_linear(f, 2, 64), weft_nn_relu(f), weft_nn_linear(f, 64, 64),
                                            weft_nn_relu(f), weft_nn_linear(f, 64, arms));
    weft_optimizer *adam = weft_adam(model, WEFT_ADAM(.lr = 5e-3));
    weft_loader *train = some.loader(f, WEFT_LOADER(.global_batch = 64, .epochs = 40, .shuffle = true));
    weft_loader *test = others.loader(f, WEFT_LOADER(.global_batch = 200, .evaluation = true));

    weft_setup(f, model, adam);
    weft_setup_loader(f, train);

    for (weft_batch b; weft_next(train, &b);) {
        weft_tensor *loss = weft_cross_entropy(weft_forward(model, b.x), b.y);
        weft_zero_grad(adam);
        weft_backward(f, loss);
        weft_step(adam);
        weft_log(f, "loss", loss);
    }

    const double right = accuracy(f, model, test);
    if (!weft_error(f))
        weft_print(f, "right %.4f", right);
    const int status = weft_close(&f);
    return status ? status : right < goal;
}
