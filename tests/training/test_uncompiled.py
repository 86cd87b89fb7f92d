"""Training in eager mode does not import torch's compiler."""

import subprocess
import sys

import pytest
import torch

from latentkit.training.device import take_step, without_compiler

pytestmark = pytest.mark.early

_A_RUN = """
import sys
import latentkit as lk
lk.run(model="conv-ae", dataset="digits", epochs=1, out=sys.argv[1])
print([name for name in ("torch._dynamo", "torchvision", "triton") if name in sys.modules])
"""


def test_a_run_imports_neither_the_compiler_nor_torchvision(tmp_path):
    command = [sys.executable, "-c", _A_RUN, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_step_equals_the_optimisers_own_step():
    layers = [torch.nn.Linear(4, 3) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    ours, theirs = (torch.optim.AdamW(layer.parameters(), 0.1, fused=True) for layer in layers)
    images = torch.rand(5, 4)
    for _ in range(3):
        for layer, optimizer in zip(layers, (ours, theirs), strict=True):
            optimizer.zero_grad()
            layer(images).square().sum().backward()
        take_step(ours)
        theirs.step()
    for mine, other in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert torch.equal(mine, other)


def test_the_marks_on_the_optimisers_methods_are_removed_at_the_end():
    before = _marks()
    with without_compiler():
        pass
    assert _marks() == before


def _marks():
    methods = [getattr(m, "__wrapped__", None) for m in vars(torch.optim.Optimizer).values()]
    return [hasattr(method, "__dynamo_disable") for method in methods]
