"""NAD's attention maps and their distance by hand, which layers it compares, and that the teacher stays as it is."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject, drive
from invmask.defenses.nad import DISTIL, NAD, TEACH, NADConfig, attention, attention_distance, points, with_outputs


class Net(nn.Module):
    """Five convolutions at four resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 2, 3, padding=1)
        self.b = nn.Conv2d(2, 2, 3, stride=2, padding=1)
        self.c = nn.Conv2d(2, 3, 3, padding=1)
        self.d = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.e = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.a, self.b, self.c, self.d, self.e):
            x = F.elu(layer(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(8)
    net = Net().double().eval().requires_grad_(False)
    images = torch.rand(6, 3, 16, 16, dtype=torch.float64)
    return Subject(net, images, 3, labels=torch.tensor([0, 1, 2, 0, 1, 2]))


def test_an_attention_map_is_the_mean_square_over_channels_at_length_one() -> None:
    outputs = torch.tensor([[[1.0, 2.0], [3.0, -2.0]]])
    # Mean squares 5 and 4.
    assert attention(outputs)[0].tolist() == pytest.approx([5 / 41**0.5, 4 / 41**0.5])
    other = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    mean_square = ((5 / 41**0.5) ** 2 + (4 / 41**0.5 - 1) ** 2) / 2
    zero = torch.zeros(1, 2, 2)
    assert float(attention_distance([outputs], [other])) == pytest.approx(mean_square)
    assert float(attention_distance([outputs, zero, outputs], [other, zero, other])) == pytest.approx(1.5 * mean_square)
    assert float(attention_distance([outputs, zero], [other, zero])) == pytest.approx(mean_square)


def test_it_compares_the_last_layer_of_each_of_the_last_resolutions(subject: Subject) -> None:
    assert points(subject) == ["c", "d", "e"]
    _, (found,) = with_outputs(subject, subject.model, subject.images, ["c"])
    net = subject.model
    expected = net.c(F.elu(net.b(F.elu(net.a(subject.images)))))
    torch.testing.assert_close(found, expected.flatten(2))
    assert not net.c._forward_hooks


def test_the_student_begins_as_the_victim_and_follows_the_teacher(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invmask.defenses.tuning.augment", lambda images, *_, **__: images)
    config = NADConfig(epochs=1, epochs_teacher=2, learning_rate=0.05, momentum=0.0, weight_decay=0.0)
    defense = NAD(config)
    taken = list(drive(defense, subject, defense.init(subject)))
    assert [record.stage for _, record in taken] == [TEACH, TEACH, DISTIL]
    teacher = taken[1][0].kept
    victim = dict(subject.model.named_parameters())
    for name, tensor in victim.items():
        assert torch.equal(taken[1][0].weights[name], tensor)
        assert not torch.equal(teacher[name], tensor)
    # The step by hand, with the distance written out.
    net = Net().double()
    net.load_state_dict(subject.model.state_dict())
    own, shown = [], []
    for outputs, weights in ((own, None), (shown, teacher)):
        x, model = subject.images, net
        if weights is not None:
            model = Net().double().requires_grad_(False)
            model.load_state_dict(weights)
        for layer in (model.a, model.b, model.c, model.d, model.e):
            raw = layer(x)
            outputs.append(raw.pow(2).mean(1).flatten(1))
            x = F.elu(raw)
        if weights is None:
            logits = net.head(x.mean((2, 3)))
    distance = 0.0
    for share, place in ((0.5, 2), (1, 3), (1, 4)):
        s, t = (maps[place] / maps[place].norm(dim=1, keepdim=True) for maps in (own, shown))
        distance = distance + share * ((s - t) ** 2).mean()
    (F.cross_entropy(logits, subject.labels) + 1000 * distance).backward()
    for name, parameter in net.named_parameters():
        expected = parameter.detach() - 0.05 * parameter.grad
        torch.testing.assert_close(taken[2][0].weights[name], expected, rtol=1e-8, atol=1e-10)
    assert taken[2][1].terms["attention"] == pytest.approx(float(distance.detach()))
    assert all(torch.equal(taken[2][0].kept[name], tensor) for name, tensor in teacher.items())
