"""Makes cnn.h5: a small residual network with batch normalisation, trained for 100 steps: python3 make_cnn.py

The network is examples/cnn.c's of width WIDTH. Rounding grows in training, by relu, the largest of a
window and batch normalisation more than elsewhere: LR, MOMENTUM and the sizes are such that torch's own
f32 stays near its f64, which this script asserts, so that a test against it can. Smaller rates
are no better: what relu and the largest of a window choose then stays undecided for longer."""
import torch
from torch import nn
from torch.nn import functional as F

from make_golden import create, draw, put, put_attrs, rng_of

WIDTH, CLASSES, SIDE, BATCH, BATCHES, STEPS = 4, 5, 8, 16, 3, 100
LR, MOMENTUM = 0.02, 0.9


def conv(i, o, stride):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(o))


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


def block(width):
    body = nn.Sequential(conv(width, width, 1), nn.ReLU(), conv(width, width, 1))
    return nn.Sequential(Residual(body), nn.ReLU())


class Mean(nn.Module):
    def forward(self, x):
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


def network(width, classes):
    return nn.Sequential(conv(1, width, 1), nn.ReLU(), nn.MaxPool2d(2), block(width), conv(width, 2 * width, 2),
                         nn.ReLU(), block(2 * width), Mean(), nn.Linear(2 * width, classes))


def run(x, y, initial, dtype, low=None):
    model = network(WIDTH, CLASSES).to(dtype)
    model.load_state_dict({k: v.to(dtype) if v.is_floating_point() else v for k, v in initial.items()})
    x = x.to(dtype)
    o = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    losses, first = [], None
    for t in range(STEPS):
        rows = slice(t % BATCHES * BATCH, (t % BATCHES + 1) * BATCH)
        with torch.autocast("cpu", dtype=low or torch.bfloat16, enabled=low is not None):
            logits = model(x[rows])
            loss = F.cross_entropy(logits.float() if low else logits, y[rows])
        o.zero_grad()
        loss.backward()
        if first is None:
            first = (logits.detach().clone(), {k: p.grad.clone() for k, p in model.named_parameters()})
        o.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        final = model(x[:BATCH])
    return first[0], first[1], torch.tensor(losses, dtype=torch.float64), model, final


def apart(a, b):
    """The largest difference over the largest magnitude."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def put_run(f, name, r, dtype):
    g = f.create_group(name)
    put(g, "logits", r[0].to(dtype))
    put(g, "loss", r[2])
    for k, v in r[1].items():
        put(g, "grad/" + k, v.to(dtype))
    if dtype == torch.float64:
        put(g, "final/logits", r[4])
        for k, v in r[3].named_buffers():
            put(g, "final/" + k, v.double())


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rng = rng_of("cnn")
    y = torch.tensor(rng.integers(0, CLASSES, BATCH * BATCHES))
    pattern = torch.tensor(draw(rng, CLASSES, 1, SIDE, SIDE))   # each class has an image of its own, and noise
    x = (pattern[y] + 0.75 * torch.tensor(draw(rng, BATCH * BATCHES, 1, SIDE, SIDE))).float()
    torch.manual_seed(1)
    initial = network(WIDTH, CLASSES).state_dict()
    truth = run(x, y, initial, torch.float64)
    single = run(x, y, initial, torch.float32)
    low = run(x, y, initial, torch.float32, torch.bfloat16)     # by oneDNN: sums in f32, rounded once
    assert apart(single[0], truth[0]) < 2e-6 and apart(single[2], truth[2]) < 2e-6
    assert all(apart(single[1][k], g) < 5e-6 for k, g in truth[1].items())
    with create("cnn.h5") as f:
        put_attrs(f, width=WIDTH, classes=CLASSES, batch=BATCH, lr=LR, momentum=MOMENTUM)
        put(f, "x", x)
        put(f, "y", y)
        for k, v in initial.items():
            if v.is_floating_point() and "running" not in k:
                put(f, "initial/" + k, v)
        put_run(f, "f64", truth, torch.float64)
        put_run(f, "bf16", low, torch.float32)


if __name__ == "__main__":
    main()
