"""Logits are found in whatever a network returns, and what a defence cannot work on gets one sentence."""

import pickle
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from invmask.errors import UserError
from invmask.masks.attach import attached
from invmask.masks.constant import ConstantView, norms_behind_convolutions
from invmask.masks.state import MaskLayout
from invmask.measure.network_checks import check_network
from invmask.models import Classifier, build
from invmask.models.answers import Answering, Reading, adapt, adapted
from invmask.models.enlarged import Enlarged, inner

SAMPLE = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Pair(NamedTuple):
    features: Tensor
    logits: Tensor


class Small(nn.Module):
    """A convolution and a linear layer; `wrap` makes its answer from features and logits."""

    def __init__(self, wrap=lambda features, logits: logits, classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, classes)
        self.wrap = wrap

    def forward(self, x: Tensor):
        features = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.wrap(features, self.linear(features))


def small(wrap=lambda features, logits: logits, classes: int = 5) -> Small:
    return Small(wrap, classes).eval().requires_grad_(False)


WRAPS = {
    "a tuple": (lambda features, logits: (logits, features), 5, "0"),
    "a list": (lambda features, logits: [features, logits], 5, "1"),
    "a mapping": (lambda features, logits: {"logits": logits}, None, "logits"),
    "a mapping of two": (lambda features, logits: {"features": features, "logits": logits}, None, "logits"),
    "one in another": (lambda features, logits: {"aux": (features, logits[:, :3]), "out": {"y": logits}}, 5, "out.y"),
    "with maps": (lambda features, logits: (logits, features[:, :, None]), None, "0"),
    "named": (Pair, None, "logits"),
    "an object": (lambda features, logits: SimpleNamespace(hidden=features, logits=logits), None, "logits"),
}


@pytest.mark.parametrize("how", WRAPS)
def test_the_logits_are_found_and_it_is_said_where(how):
    wrap, classes, text = WRAPS[how]
    network = small(wrap)
    found, notes = adapt(network, SAMPLE, classes)
    assert isinstance(found, Answering)
    assert str(found.reading) == text
    assert torch.equal(found(SAMPLE), small()(SAMPLE))
    assert notes == (f"The network returns several things; its part '{text}' was taken as the logits.",)
    # A worker makes the same network from the text.
    again = adapted(network, Reading.parse(text))
    assert torch.equal(again(SAMPLE), found(SAMPLE))


def test_a_network_that_returns_logits_is_left_as_it_is():
    network = small()
    found, notes = adapt(network, SAMPLE, 5)
    assert found is network
    assert notes == ()
    assert adapted(network, Reading()) is network


def test_where_several_parts_may_be_the_logits_one_has_to_say_which():
    network = small(lambda features, logits: (logits, 2 * logits))
    with pytest.raises(UserError, match="say which part to take: '0' with 5 numbers; '1' with 5 numbers"):
        adapt(network, SAMPLE, 5)
    found, _ = adapt(network, SAMPLE, part="1")
    assert torch.equal(found(SAMPLE), 2 * small()(SAMPLE))
    for part in ("2", "logits"):
        with pytest.raises(UserError, match=f"returns no part '{part}'"):
            adapt(network, SAMPLE, part=part)


@pytest.mark.parametrize("part", ["a b", "../x", "", "0..1", "__class__|exp"])
def test_absurd_parts_are_no_readings(part):
    if part:
        with pytest.raises(UserError, match="names no part"):
            Reading.parse(part)
    assert Reading.parse("") == Reading()


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        pytest.param(*case, id=case[1])
        for case in (
            (lambda features, logits: features.sum(), "a tensor of one number"),
            (lambda features, logits: logits[:, :, None], "a tensor of 4x5x1"),
            (lambda features, logits: logits[:2], "a tensor of 2x5"),
            (lambda features, logits: "cat", "a str"),
            (lambda features, logits: (logits[0], features[0]), "a tuple"),
        )
    ],
)
def test_an_answer_without_logits_is_refused(wrap, said):
    with pytest.raises(UserError, match=f"The network returns {said}"):
        adapt(small(wrap), SAMPLE)


def test_a_network_that_fails_says_so_in_one_sentence():
    with pytest.raises(UserError, match="fails on images of 3x2x2, so check their size: RuntimeError"):
        adapt(small(), SAMPLE[..., :2, :2])


@pytest.mark.parametrize(
    "wrap",
    [lambda f, logits: logits.softmax(1), lambda f, logits: {"probs": logits.softmax(1)}],
    ids=["alone", "in a mapping"],
)
def test_a_softmax_at_the_end_is_recognised_and_its_logarithm_taken(wrap):
    found, notes = adapt(small(wrap), SAMPLE)
    torch.testing.assert_close(found(SAMPLE), small()(SAMPLE).log_softmax(1))
    assert "ends in a softmax" in notes[-1]
    assert str(found.reading).endswith("|log")
    again = adapted(small(wrap), Reading.parse(str(found.reading)))
    assert torch.equal(again(SAMPLE), found(SAMPLE))
    # Logits, and logarithms of probabilities, are no probabilities.
    assert adapt(small(lambda f, logits: logits.log_softmax(1)), SAMPLE)[1] == ()
    assert adapt(small(lambda f, logits: logits.sigmoid()), SAMPLE)[1] == ()
    # A probability of 0 has no logarithm.
    hard = adapt(small(lambda f, logits: (1000 * logits).softmax(1)), SAMPLE)[0]
    assert torch.isfinite(hard(SAMPLE)).all()


def test_the_networks_own_names_can_be_found_again():
    network = small(Pair)
    around = Enlarged(adapt(network, SAMPLE)[0], 32)
    found, prefix = inner(around)
    assert found is network
    assert {name.removeprefix(prefix) for name in around.state_dict()} == set(network.state_dict())
    assert inner(network) == (network, "")
    assert pickle.loads(pickle.dumps(Reading(("logits",), True))) == Reading(("logits",), True)


def test_masks_work_on_a_network_whose_logits_are_taken():
    found, _ = adapt(small(lambda f, logits: {"logits": logits.softmax(1)}), SAMPLE)
    model = Classifier(found, (0.5,) * 3, (0.5,) * 3).eval().requires_grad_(False)
    layout = MaskLayout.of(model)
    gates = torch.linspace(0, 1, layout.channels)
    with attached(model, layout, gates):
        wanted = model(SAMPLE)
    torch.testing.assert_close(ConstantView(model, layout, gates)(SAMPLE), wanted, rtol=1e-4, atol=1e-5)
    assert norms_behind_convolutions(model) == [("network.network.conv", "network.network.norm")]
    assert not torch.allclose(wanted, model(SAMPLE))


class Batchwise(Small):
    def forward(self, x: Tensor):
        return super().forward(x - x.mean(0, keepdim=True))


class Noisy(Small):
    def forward(self, x: Tensor):
        return super().forward(x + torch.rand_like(x))


def broken(network: nn.Module, name: str, value: float) -> nn.Module:
    network.get_parameter(name)[0] = value
    return network


def without_statistics() -> nn.Module:
    network = small()
    network.norm = nn.BatchNorm2d(8, track_running_stats=False)
    return network.eval()


def unknown_transformer() -> nn.Module:
    layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2)]

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.layers = nn.Sequential(*layers)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layers(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    return Own().eval()


ODD = {
    "weights": (lambda: broken(small(), "conv.weight", float("nan")), "the file is damaged: conv.weight."),
    "no convolution": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 5)),
        "no convolution and no known encoder block; name the layers",
    ),
    "one output": (lambda: small(classes=1), "has a single output"),
    "not numbers": (lambda: small(lambda f, logits: logits / 0), "answers are not numbers"),
    "no statistics": (without_statistics, "'norm' is a BatchNorm without running statistics"),
    "the batch": (lambda: Batchwise().eval(), "depend on the other images of the batch"),
    "chance": (lambda: Noisy().eval(), "differently each time"),
    "a tuple": (lambda: small(Pair), "does not return one row of logits"),
    "another size": (lambda: nn.Sequential(small(), nn.Linear(9, 9)), "fails on images of 3x16x16"),
    "blocks": (unknown_transformer, "a transformer whose blocks are not known"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_a_defence_cannot_work_on_gets_one_sentence(what):
    make, message = ODD[what]
    with pytest.raises(UserError, match=message) as caught:
        check_network(make().requires_grad_(False), SAMPLE)
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    "name", ["preactresnet18w4", "vgg6w4", "vitw32", "timm:convnext_atto", "timm:vit_tiny_patch16_224@32"]
)
def test_sound_networks_pass(name):
    network = build(name, 10).eval()
    for layer, module in network.named_modules():
        if layer.endswith("heads.head"):
            nn.init.normal_(module.weight)
    check_network(network, torch.rand(3, 3, 32, 32))


def test_named_layers_are_enough():
    network = unknown_transformer()
    network.masked_layers = ("layers.0.linear2", "layers.1.linear2")
    check_network(network, SAMPLE)
    assert [layer.name for layer in MaskLayout.of(network).layers] == list(network.masked_layers)
