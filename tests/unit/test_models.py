"""Architectures by name, and normalisation inside the model."""

import pytest
import torch

from invmask.attacks.victims import new_model
from invmask.data.images import CIFAR10
from invmask.errors import UserError
from invmask.models import Classifier, architectures, build
from invmask.models.preactresnet import PreActResNet18


@pytest.mark.parametrize("name", architectures())
@pytest.mark.parametrize("classes", [2, 10, 43])
def test_every_architecture_gives_logits_of_every_class(name: str, classes: int):
    network = build(f"{name}w4", classes).eval()
    assert network(torch.rand(3, 3, 32, 32)).shape == (3, classes)


def test_the_width_is_read_from_the_name():
    standard, quarter = build("preactresnet18", 10), build("preactresnet18w16", 10)
    assert isinstance(standard, PreActResNet18)
    assert isinstance(quarter, PreActResNet18)
    assert standard.conv1.out_channels == 64
    assert quarter.conv1.out_channels == 16
    assert sum(parameter.numel() for parameter in quarter.parameters()) < 0.08 * sum(
        parameter.numel() for parameter in standard.parameters()
    )


def test_the_standard_network_has_the_published_shape_and_names():
    network = build("preactresnet18", 10)
    # He et al.'s 18 layers for 32x32 images without a last normalisation: 11.17 million parameters.
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_171_146
    names = set(network.state_dict())
    assert {"conv1.weight", "layer1.0.bn1.running_mean", "layer2.0.shortcut.0.weight", "linear.bias"} <= names
    assert not any(name.startswith("layer1.0.shortcut") for name in names)


@pytest.mark.parametrize("name", ["resnet18", "PreActResNet18", "preactresnet18w", "preactresnet18 w16", ""])
def test_unknown_architectures_are_refused_by_name(name: str):
    with pytest.raises(UserError, match="There is no architecture"):
        build(name, 10)


@pytest.mark.parametrize("width", [0, 1025, 10**9])
def test_widths_out_of_range_are_refused(width: int):
    with pytest.raises(UserError, match="between 1 and 1024"):
        build(f"preactresnet18w{width}", 10)


def test_a_classifier_normalises_its_own_input(narrow: Classifier):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor(CIFAR10.mean).view(1, 3, 1, 1)
    std = torch.tensor(CIFAR10.std).view(1, 3, 1, 1)
    assert torch.equal(narrow(images), narrow.network((images - mean) / std))


def test_normalisation_is_no_part_of_the_stored_weights(narrow: Classifier):
    assert all(name.startswith("network.") for name in narrow.state_dict())


def test_a_new_model_fits_its_data_set():
    model = new_model("cifar10", "preactresnet18w4")
    assert model.eval()(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    with pytest.raises(UserError, match="There is no data set 'mnist'"):
        new_model("mnist", "preactresnet18w4")


def test_each_answer_depends_on_its_own_image_alone(narrow: Classifier):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = images.clone()
    changed[1:] = 0
    torch.testing.assert_close(narrow(images)[0], narrow(changed)[0])
