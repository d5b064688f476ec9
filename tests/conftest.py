"""What every test shares: one thread, a home of its own, a narrow real network and a few real images."""

import os
from pathlib import Path

import invmask  # noqa: F401  (before torch: it says how threads wait)

# isort: split
import hypothesis
import pytest
import torch

from invmask.data.embedded import load_embedded
from invmask.data.images import CIFAR10, LabelledImages
from invmask.models import Classifier, build

# Records repeat bit for bit with one thread count only; child processes inherit the variable.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
# No setting of whoever runs the tests may reach them.
for _name in [name for name in os.environ if name.startswith("INVMASK_") and name != "INVMASK_CHROMIUM"]:
    del os.environ[_name]
# Tests count the runs of a home.
os.environ["INVMASK_BUILT_IN_RUNS"] = "no"
# The first call of anything in torch is slow; time is no property of the algebra.
hypothesis.settings.register_profile("invmask", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("invmask")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory for runs and victims that no other test sees."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("INVMASK_HOME", str(home))
    return home


def make_narrow(seed: int = 0, width: int = 4) -> Classifier:
    """A PreActResNet-18, a sixteenth as wide, whose BatchNorm does not happen to be the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Classifier(build(f"preactresnet18w{width}", 10), CIFAR10.mean, CIFAR10.std)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(0.1 * torch.randn(shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
            module.weight.data.copy_(0.5 + torch.rand(shape, generator=generator))
            module.bias.data.copy_(0.1 * torch.randn(shape, generator=generator))
    return model.eval().requires_grad_(False)


@pytest.fixture
def narrow() -> Classifier:
    """A narrow network of one's own, in eval mode."""
    return make_narrow()


@pytest.fixture
def test_images() -> LabelledImages:
    """Ten real test images of every class, in mixed order."""
    images = load_embedded("cifar10", "test").images
    generator = torch.Generator().manual_seed(1)
    return images.take(torch.randperm(len(images), generator=generator).numpy()[:100])
