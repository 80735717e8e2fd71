"""Makes mlp.safetensors: a PyTorch network's state, an input and its output, in the format's own writer.

python3 make_safetensors.py, with PyTorch and safetensors; the file says which (its metadata stay {"format": "pt"}).
"""
import pathlib

import torch
from safetensors.torch import save_file

torch.manual_seed(7)
net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
x = torch.randn(5, 6)
state = {"net." + name: value.detach().clone() for name, value in net.state_dict().items()}
state["net.2.weight"] = state["net.2.weight"].t().contiguous()  # as (in,out), to be transposed
state["input"] = x
state["output"] = net(x).detach()
state["table.half"] = torch.randn(3, 5).half()
state["table.brain"] = torch.randn(2, 2).bfloat16()
state["table.double"] = torch.randn(4, dtype=torch.float64)
state["table.long"] = torch.arange(3)
state["table.byte"] = torch.arange(5, dtype=torch.uint8)
state["table.none"] = torch.zeros(0, 4)
state["scalar"] = torch.tensor(2.5)
state['q"uote\\ä'] = torch.arange(4, dtype=torch.int32)
save_file(state, str(pathlib.Path(__file__).parent / "mlp.safetensors"), metadata={"format": "pt"})
