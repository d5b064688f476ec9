"""Our AdamW is PyTorch's, without the import of PyTorch's compiler."""

import subprocess
import sys

import torch

from invmask.defenses.ims.adamw import adamw_step
from tests.unit.run_helpers import ROOT


def test_steps_are_those_of_the_optimizer_to_the_bit():
    torch.manual_seed(0)
    start, gradients = torch.rand(2, 50), torch.randn(6, 2, 50)
    theirs = [vector.clone().requires_grad_() for vector in start]
    optimizer = torch.optim.AdamW(theirs, lr=0.05)
    ours, moments = [vector.clone() for vector in start], [(torch.zeros(50), torch.zeros(50)) for _ in start]
    for step, gradient in enumerate(gradients):
        for vector, its in zip(theirs, gradient, strict=True):
            vector.grad = its.clone()
        optimizer.step()
        adamw_step(ours, list(gradient), moments, step, 0.05)
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one, other)


def test_a_defence_does_not_import_the_compiler():
    code = (
        "import sys, torch, invmask; victim = invmask.load_victim('fashionmnist-cnn4-badnets');"
        "short = {'rounds_search': 4, 'rounds_minimise': 1, 'rounds_sparsify': 1};"
        "invmask.defend(victim, invmask.draw_budget(victim, spc=1), **short); print('torch._dynamo' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
