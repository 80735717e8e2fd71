"""Makes gpt2_hf.safetensors, a small GPT-2 as Hugging Face's transformers saves it, and gpt2_hf_logits.safetensors: tokens (2, 12)
and the logits (2, 12, 40) that transformers computes.

python3 make_gpt2_hf.py, with PyTorch, safetensors and transformers.
"""
import pathlib
import shutil
import tempfile

import torch
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

here = pathlib.Path(__file__).parent
torch.manual_seed(11)
model = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_positions=16, n_embd=12, n_layer=2, n_head=3)).eval()
with torch.no_grad():
    for p in model.parameters():  # biases and norms start as 0 and 1, which would hide a wrong place
        p.add_(0.2 * torch.randn_like(p))
    tokens = torch.randint(0, 40, (2, 12))
    logits = model(tokens).logits
with tempfile.TemporaryDirectory() as d:
    model.save_pretrained(d)
    shutil.copy(pathlib.Path(d) / "model.safetensors", here / "gpt2_hf.safetensors")
save_file({"tokens": tokens, "logits": logits}, str(here / "gpt2_hf_logits.safetensors"), metadata={"format": "pt"})
