"""The networks of nets.h in PyTorch, with the same names of parameters, and the file that both sides load."""
import numpy
import torch
from torch import nn
from torch.nn import functional as F

WORDS, CONTEXT, WIDTH, HEADS = 50304, 1024, 768, 12  # of GPT-2
SIDE = 28  # of images


def mlp(width):
    parts = []
    for i in range(len(width) - 1):
        parts += [nn.Linear(width[i], width[i + 1])]
        if i + 2 < len(width):
            parts += [nn.ReLU()]
    return nn.Sequential(*parts)


def conv(i, o, stride):
    return nn.Sequential(nn.Conv2d(i, o, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(o))


class Residual(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, x):
        return x + self.body(x)


class Mean(nn.Module):
    def forward(self, x):
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


def block(n):
    return nn.Sequential(Residual(nn.Sequential(conv(n, n, 1), nn.ReLU(), conv(n, n, 1))), nn.ReLU())


def cnn(n):
    return nn.Sequential(conv(1, n, 1), nn.ReLU(), nn.MaxPool2d(2), block(n), conv(n, 2 * n, 2), nn.ReLU(),
                         block(2 * n), Mean(), nn.Linear(2 * n, 10))


def dropout(p):
    return nn.Dropout(p) if p else nn.Identity()


class Attention(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p, self.drop = p, dropout(p)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.c_attn(x).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.p if self.training else 0)
        return self.drop(self.c_proj(y.transpose(1, 2).reshape(b, t, WIDTH)))


class Inner(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.drop = dropout(p)
        self.c_fc, self.c_proj = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.drop(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class Block(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.ln_1, self.attn, self.ln_2, self.mlp = nn.LayerNorm(WIDTH), Attention(p), nn.LayerNorm(WIDTH), Inner(p)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    def __init__(self, blocks, percent=0):
        super().__init__()
        self.drop = dropout(percent / 100)
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(WORDS, WIDTH), wpe=nn.Embedding(CONTEXT, WIDTH),
            h=nn.ModuleList(Block(percent / 100) for _ in range(blocks)), ln_f=nn.LayerNorm(WIDTH)))

    def forward(self, tokens):
        t = self.transformer
        x = self.drop(t.wte(tokens) + t.wpe.weight[: tokens.shape[1]])
        for b in t.h:
            x = b(x)
        return F.linear(t.ln_f(x), t.wte.weight).flatten(0, 1)


def make(kind, args):
    """args: widths; channels; or length, blocks and percents that dropout takes."""
    return mlp(args) if kind == "mlp" else cnn(args[0]) if kind == "cnn" else GPT2(*args[1:])


def start(model, kind):
    """The weights that both sides begin with."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if kind == "mlp":
                p.uniform_(-1, 1).mul_((p.shape[1] if p.dim() > 1 else last) ** -0.5)
                last = p.shape[-1]
            elif p.dim() > 1:
                p.normal_(std=0.02 if kind == "gpt2" else (2 / p[0].numel()) ** 0.5)
            elif name.endswith("bias"):
                p.zero_()


def batches(kind, args, rows, count):
    """x and labels; the labels depend on x, so that there is something to learn."""
    random = numpy.random.default_rng(1)
    if kind == "gpt2":
        words = numpy.minimum(random.zipf(1.3, (count, rows, args[0] + 1)) - 1, WORDS - 1)
        return words[:, :, :-1].astype("i8"), words[:, :, 1:].astype("i8")
    cells = SIDE * SIDE if kind == "cnn" else args[0]
    x = random.uniform(0, 1, (count, rows, cells)).astype("f4")
    classes = 10 if kind == "cnn" else args[-1]
    return x, (x @ random.standard_normal((cells, classes))).argmax(-1).astype("i8")


def write(path, kind, args, rows, count):
    model = make(kind, args)
    start(model, kind)
    with open(path, "wb") as file:
        params = list(model.named_parameters())
        numpy.int64(len(params)).tofile(file)
        for name, p in params:
            file.write(name.encode().ljust(96, b"\0"))
            numpy.int64(p.numel()).tofile(file)
            p.detach().numpy().tofile(file)
        for part in batches(kind, args, rows, count):
            part.tofile(file)


def read(path, kind, args, rows, count):
    """The model and its batches."""
    model = make(kind, args)
    params = dict(model.named_parameters())
    with open(path, "rb") as file, torch.no_grad():
        for _ in range(int(numpy.fromfile(file, "i8", 1)[0])):
            p = params[file.read(96).rstrip(b"\0").decode()]
            n = int(numpy.fromfile(file, "i8", 1)[0])
            p.copy_(torch.from_numpy(numpy.fromfile(file, "f4", n)).view(p.shape))
        cells = args[0] if kind != "cnn" else SIDE * SIDE
        shape = (rows, 1, SIDE, SIDE) if kind == "cnn" else (rows, cells)
        x = torch.from_numpy(numpy.fromfile(file, "i8" if kind == "gpt2" else "f4", count * rows * cells))
        y = torch.from_numpy(numpy.fromfile(file, "i8"))
    return model, x.view(count, *shape).unbind(), y.view(count, -1).unbind()
