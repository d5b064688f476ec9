"""Losses and one whole round of each phase against an independent float64 computation.

Nothing of invmask computes the expected values: the network's forward pass, the masks, the losses and
AdamW are written out again below, from the formulas.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject, drive
from invmask.defenses.families import FAMILIES, ON_IMAGES, Smooth
from invmask.defenses.ims.config import IMSConfig, Phase, preset
from invmask.defenses.ims.losses import agree, disagree, divergence
from invmask.defenses.ims.search import Hypothesis, Search
from invmask.defenses.ims.state import IMSState
from invmask.defenses.ims.stepper import IMS
from invmask.defenses.inversion import Inversion

CLASSES = 4
CHANNELS = (5, 6, 6)
INNER_RATE, OUTER_RATE, BOUND, LAMBDA, K = 0.022, 0.05, 0.08, 3.0, 12.0
# Our additions: synthesized triggers for perturbations, another loss for agree, and weights of outer terms.
OUR_WEIGHTS = {
    "pruned clean": 4.0,
    "pruned perturbed": 0.3,
    "inverse perturbed": 0.6,
    "inverse agrees perturbed": 0.8,
}
INVERSE_CLEAN, SLOPE, CYCLES, LABEL, SMALLEST = 0.4, 0.4, 2.0, 2, 2.6
RATES = {"patch": 0.6, "smooth": 0.015}


class SmallNet(nn.Module):
    """Two convolutions with BatchNorm and a shortcut convolution around the second."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.second = nn.Conv2d(5, 6, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(5, 6, 1, bias=False)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(self.norm(self.first(x)))
        x = self.second(x) + self.shortcut(x)
        return self.head(F.elu(x).mean((2, 3)))


@pytest.fixture
def subject() -> Subject:
    torch.manual_seed(3)
    net = SmallNet().double().eval().requires_grad_(False)
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2)
    net.head.weight.mul_(6)
    images = torch.rand(7, 3, 6, 6, dtype=torch.float64)
    # No label is far ahead, so that small perturbations change answers.
    net.head.bias.sub_(net(images).mean(0))
    return Subject(net, images, CLASSES)


def forward(net: SmallNet, x: Tensor, gate: Tensor) -> Tensor:
    """Softmax answers with the gate written into the forward pass."""
    g1, g2, g3 = (g.view(1, -1, 1, 1) for g in gate.split(CHANNELS))
    x = g1 * F.conv2d(x, net.first.weight, net.first.bias, padding=1)
    scale = net.norm.weight / (net.norm.running_var + net.norm.eps).sqrt()
    x = (x - net.norm.running_mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + net.norm.bias.view(1, -1, 1, 1)
    x = torch.where(x > 0, x, torch.exp(x) - 1)
    x = g2 * F.conv2d(x, net.second.weight, padding=1) + g3 * F.conv2d(x, net.shortcut.weight)
    x = torch.where(x > 0, x, torch.exp(x) - 1)
    logits = x.mean((2, 3)) @ net.head.weight.T + net.head.bias
    return torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)


def dot(p: Tensor, q: Tensor) -> Tensor:
    return torch.stack([sum(p[i, c] * q[i, c] for c in range(CLASSES)) for i in range(len(p))])


def expected_agree(p: Tensor, q: Tensor) -> Tensor:
    return -(dot(p, q) + 1e-8).log().sum() / len(p)


def expected_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback and Leibler's divergence of p from q."""
    each = [q[i, c] * (q[i, c].log() - p[i, c].log()) for i in range(len(p)) for c in range(CLASSES)]
    return torch.stack(each).sum() / len(p)


def expected_disagree(p: Tensor, q: Tensor) -> Tensor:
    return -(1 - dot(p, q) + 1e-8).log().sum() / len(p)


def adamw(value: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, step: int, rate: float) -> tuple[Tensor, ...]:
    """AdamW with beta 0.9 and 0.999, eps 1e-8, weight decay 0.01."""
    value = value * (1 - rate * 0.01)
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    change = (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
    return value - rate * change, mean, square


def low_pass(d: Tensor) -> Tensor:
    """Without waves of more than CYCLES cycles across the picture: every wave's sum written out, then those kept."""
    size = d.shape[-1]
    place = torch.arange(size, dtype=torch.float64)
    cycles = torch.where(place > size / 2, place - size, place)
    waves = torch.exp(-2j * torch.pi * place[:, None] * place / size)
    spectrum = waves @ d.to(torch.complex128) @ waves
    kept = spectrum * (cycles[:, None] ** 2 + cycles**2 <= CYCLES**2)
    return (waves.conj() @ kept @ waves.conj() / size**2).real


def put_on(family: str, numbers: Tensor, x: Tensor) -> Tensor:
    """A trigger on every image."""
    if family == "smooth":
        return (x + low_pass(numbers)).clamp(0, 1)
    mask, pattern = 1 / (1 + torch.exp(-numbers[:1])), 1 / (1 + torch.exp(-numbers[1:]))
    return (1 - mask) * x + mask * pattern


def size_and_price(family: str, numbers: Tensor) -> tuple[Tensor, Tensor]:
    if family == "smooth":
        change = low_pass(numbers)
        return 255 * (change**2).mean().sqrt(), (change**2).mean()
    mask = 1 / (1 + torch.exp(-numbers[0]))
    return mask.sum(), mask.mean()


def expected_trigger(
    net: SmallNet, x: Tensor, gate: Tensor, label: int, family: str, start: Inversion, row: int, steps: int, most: float
) -> tuple[Tensor, list[bool], float]:
    """Numbers of a label's trigger after so many steps on all images; whether each step made it smaller; the loss."""
    numbers, mean, square, weight = (of[row] for of in (start.numbers, start.mean, start.square, start.weight))
    one = torch.ones(sum(CHANNELS), dtype=torch.float64)
    others = forward(net, x, one).argmax(1) != label
    shrunk, loss = [], torch.tensor(0.0)
    for step in range(start.steps + 1, start.steps + steps + 1):
        free = numbers.clone().requires_grad_()
        answers = forward(net, put_on(family, free, x[others]), gate)
        size, price = size_and_price(family, free)
        loss = -answers[:, label].log().sum() / int(others.sum())
        (loss + weight * price).backward()
        assert free.grad is not None
        leads = int((answers.argmax(1) == label).sum()) / int(others.sum()) >= 0.93
        shrunk.append(leads or float(size.detach()) > most)
        weight = weight * 1.12 if shrunk[-1] else weight / 1.12
        mean, square = 0.5 * mean + 0.5 * free.grad, 0.9 * square + 0.1 * free.grad**2
        change = (mean / (1 - 0.5**step)) / ((square / (1 - 0.9**step)).sqrt() + 1e-8)
        numbers = numbers - RATES[family] * change
    return numbers, shrunk, float(loss.detach())


def expected_round(
    subject: Subject, state: IMSState, inner_steps: int, ours: bool
) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
    """Mask, selection, perturbation and losses of one round, from the formulas."""
    net, x = subject.model, subject.images
    assert isinstance(net, SmallNet)
    one = torch.ones(sum(CHANNELS), dtype=torch.float64)
    reference = forward(net, x, one)
    a, s = state.mask.clone().requires_grad_(), state.selection.clone().requires_grad_()
    q = 1 / (1 + torch.exp(-K * (a - 0.5)))
    m, m_bar = q + s * (1 - q), (1 - q) + s * q
    expected_alike = expected_divergence if ours else expected_agree
    d = torch.zeros_like(x)
    losses = {
        "pruned clean": expected_alike(forward(net, x, m), reference),
        "inverse clean": expected_disagree(forward(net, x, m_bar), reference),
    }
    if ours:
        # What is cut, turned up, leads to the label that stands out.
        losses["turned up"] = -(forward(net, x, 2 - m)[:, LABEL] + 1e-8).log().sum() / len(x)
    if state.phase is not Phase.INITIALISE:
        if ours:
            d = expected_triggered(net, x, m.detach(), state.hypotheses, inner_steps) - x
        else:
            d = expected_perturbation(net, x, m_bar.detach(), reference, inner_steps)
        losses["pruned perturbed"] = expected_alike(forward(net, x + d, m), reference)
        losses["inverse agrees perturbed"] = expected_alike(forward(net, x + d, m_bar), forward(net, x + d, one))
        losses["inverse perturbed"] = expected_disagree(forward(net, x + d, m_bar), reference)
    losses["sparsity"] = ((1 - s) * torch.where(s == 1, SLOPE, 1)).mean() if ours else (1 - s).abs().mean()
    weights = {"sparsity": 0.0 if state.phase is Phase.MINIMISE else LAMBDA}
    if ours:
        # A clear lead that does not reach the most that triggers may weigh.
        trust = 2.5 * math.log(5.0 / SMALLEST)
        weights |= OUR_WEIGHTS | {"pruned perturbed": trust * OUR_WEIGHTS["pruned perturbed"]}
        if state.phase is not Phase.INITIALISE:
            weights["inverse clean"] = INVERSE_CLEAN
    sum(weights.get(name, 1.0) * loss for name, loss in losses.items()).backward()
    assert a.grad is not None
    assert s.grad is not None
    step = state.optimizer_steps + 1
    new_a = adamw(a.detach(), a.grad, state.mask_mean, state.mask_square, step, OUTER_RATE)[0]
    new_s = adamw(s.detach(), s.grad, state.selection_mean, state.selection_square, step, OUTER_RATE)[0]
    return new_a.clamp(0, 1), new_s.clamp(0, 1), d, {name: float(loss.detach()) for name, loss in losses.items()}


def expected_perturbation(net: SmallNet, x: Tensor, m_bar: Tensor, reference: Tensor, inner_steps: int) -> Tensor:
    """The published inner problem."""
    one = torch.ones(sum(CHANNELS), dtype=torch.float64)
    d = mean = square = torch.zeros_like(x)
    for step in range(1, inner_steps + 1):
        free = d.clone().requires_grad_()
        of_ref = forward(net, x + free, one)
        follows = expected_agree(forward(net, x + free, m_bar), of_ref)
        (follows + expected_disagree(of_ref, reference)).backward()
        assert free.grad is not None
        d, mean, square = adamw(d, free.grad, mean, square, step, INNER_RATE)
        d = d.clamp(-BOUND, BOUND)
    return d


def expected_triggered(
    net: SmallNet, x: Tensor, m: Tensor, hypotheses: tuple[Hypothesis, ...], inner_steps: int
) -> Tensor:
    """Every image with one of the triggers in turn: of each hypothesis the one found, and the one mended."""
    triggers, shrunk = [], []
    for each in hypotheses:
        assert each.found.shape[0] == 1
        mended, smaller, _ = expected_trigger(
            net, x, m, each.label, each.family, each.kept_up, 0, inner_steps, each.largest
        )
        size = float(size_and_price(each.family, each.kept_up.numbers[0])[0])
        assert set(smaller) == {size > each.largest}, "whether a trigger is too large should matter here"
        triggers += [(each.family, each.found[0]), (each.family, mended)]
        shrunk += smaller
    assert set(shrunk) == {True, False}, "both ways of the weight should matter here"
    return torch.stack([put_on(*triggers[i % len(triggers)], image) for i, image in enumerate(x)])


def hypothesis_of(family: str, label: int, numbers: Tensor, largest: float) -> Hypothesis:
    """In the middle of being mended, with moments of every size."""
    found = numbers[None]
    inversion = Inversion(
        numbers=found + 0.1 * torch.randn_like(found),
        mean=0.01 * torch.randn_like(found),
        square=1e-3 * torch.rand_like(found),
        weight=torch.tensor([2.5], dtype=torch.float64),
        size=torch.tensor([torch.inf], dtype=torch.float64),
        smallest=found,
        smallest_size=torch.tensor([torch.inf], dtype=torch.float64),
        smallest_flips=torch.zeros(1, dtype=torch.float64),
        flips=torch.zeros(1, dtype=torch.float64),
        loss=torch.zeros(1, dtype=torch.float64),
        searched=torch.tensor([0]),
        steps=2,
    )
    return Hypothesis(family, label, 0.9, largest, found, inversion)


@pytest.mark.parametrize("ours", [False, True], ids=["published", "ours"])
@pytest.mark.parametrize("phase", [Phase.INITIALISE, Phase.MINIMISE, Phase.SPARSIFY])
def test_round_equals_the_formulas(subject: Subject, phase: Phase, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # The pictures are too small for waves of more cycles than usual.
    for families in (FAMILIES, ON_IMAGES):
        monkeypatch.setitem(families, "smooth", Smooth(cycles=CYCLES))
    inner_steps = 4
    config = IMSConfig(
        sparsity_weight=LAMBDA,
        steepness=K,
        inner_steps=inner_steps,
        inner_learning_rate=INNER_RATE,
        outer_learning_rate=OUTER_RATE,
        norm_bound=BOUND,
    )
    if ours:
        weights = {"weight_" + name.replace(" ", "_"): weight for name, weight in OUR_WEIGHTS.items()}
        weights["weight_inverse_follows"] = weights.pop("weight_inverse_agrees_perturbed")
        config = replace(config, rounds_search=48, weight_inverse_clean=INVERSE_CLEAN, slope_at_one=SLOPE, **weights)
    defense = IMS(config)
    torch.manual_seed(11)
    state = defense.init(subject)
    # A state in mid-phase, with masks, selections and moments of every size, some at the borders.
    state = replace(
        state,
        mask=(torch.rand_like(state.mask) * 1.4 - 0.2).clamp(0, 1),
        selection=(torch.rand_like(state.mask) * 1.4 - 0.2).clamp(0, 1),
        mask_mean=torch.randn_like(state.mask) * 0.01,
        mask_square=torch.rand_like(state.mask) * 1e-3,
        selection_mean=torch.randn_like(state.mask) * 0.01,
        selection_square=torch.rand_like(state.mask) * 1e-3,
        phase=phase,
        optimizer_steps=6,
    )
    if ours:
        patch, smooth = torch.randn(4, 6, 6).double(), 0.3 * torch.randn(3, 6, 6).double()
        # The patch is above its largest size, the smooth change far below.
        made = (hypothesis_of("patch", 1, patch, 5.0), hypothesis_of("smooth", 1, smooth, 300.0))
        sizes = torch.tensor([5.0, 6.0, SMALLEST, 7.0], dtype=torch.float64)
        channels = replace(
            made[0].kept_up, smallest_size=sizes, flips=torch.zeros(CLASSES), searched=torch.arange(CLASSES)
        )
        state = replace(state, hypotheses=made, search=Search({"channels": channels}))
    mask, selection, perturbation, losses = expected_round(subject, state, inner_steps, ours)
    after, record = defense.step(subject, state)
    torch.testing.assert_close(after.mask, mask, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(after.selection, selection, rtol=1e-9, atol=1e-12)
    assert record.terms == pytest.approx(losses, rel=1e-9)
    if phase is Phase.INITIALISE:
        assert len(after.example_perturbations) == 0
    else:
        if not ours:
            assert float(perturbation.abs().max()) / BOUND == pytest.approx(1), "the bound should matter here"
        torch.testing.assert_close(after.example_perturbations, perturbation, rtol=1e-9, atol=1e-12)


def test_a_round_of_the_search_equals_the_formulas(subject: Subject) -> None:
    defense = IMS(IMSConfig(rounds_search=48, search_steps=5))
    state, record = defense.step(subject, defense.init(subject))
    found = state.search.inversions["patch"]
    one = torch.ones(sum(CHANNELS), dtype=torch.float64)
    # The first thing that is drawn.
    drawn = torch.randn(CLASSES, 4, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    zeros = torch.zeros_like(drawn)
    start = replace(found, numbers=drawn, mean=zeros, square=zeros, weight=0 * found.weight + 6, steps=0)
    losses = []
    for label in range(CLASSES):
        numbers, _, loss = expected_trigger(
            subject.model, subject.images, one, label, "patch", start, label, 5, float("inf")
        )
        torch.testing.assert_close(found.numbers[label], numbers, rtol=1e-9, atol=1e-12)
        losses.append(loss)
    assert found.loss.tolist() == pytest.approx(losses, rel=1e-9)
    assert record.terms == {"led": pytest.approx(losses[record.notes["label"]], rel=1e-9)}


def published(net: SmallNet, x: Tensor, rounds: int) -> list[tuple[int, Tensor, Tensor]]:
    """The whole published procedure on one batch, from its first round: phase, mask and selection after each.

    Every number in it is the paper's but the most rounds a phase.
    """
    one = torch.ones(sum(CHANNELS), dtype=torch.float64)
    clean, a, s, course = forward(net, x, one), one, one, []
    for phase in (1, 2, 3):
        best, stalled = float("inf"), 0
        a_mean = a_square = s_mean = s_square = torch.zeros_like(one)
        for step in range(1, rounds + 1):
            q = 1 / (1 + torch.exp(-20 * (a - 0.5)))
            d = mean = square = torch.zeros_like(x)
            for inner in range(1, 21) if phase > 1 else ():
                free = d.clone().requires_grad_()
                fooled = forward(net, x + free, one)
                follows = expected_agree(forward(net, x + free, (1 - q) + s * q), fooled)
                (follows + expected_disagree(fooled, clean)).backward()
                assert free.grad is not None
                d, mean, square = adamw(d, free.grad, mean, square, inner, 0.001)
                d = d.clamp(-1, 1)
            free_a, free_s = a.clone().requires_grad_(), s.clone().requires_grad_()
            q = 1 / (1 + torch.exp(-20 * (free_a - 0.5)))
            m, m_bar = q + free_s * (1 - q), (1 - q) + free_s * q
            loss = expected_agree(forward(net, x, m), clean) + expected_disagree(forward(net, x, m_bar), clean)
            if phase > 1:
                inverse = forward(net, x + d, m_bar)
                loss = loss + expected_agree(forward(net, x + d, m), clean) + expected_disagree(inverse, clean)
                loss = loss + expected_agree(inverse, forward(net, x + d, one))
            if phase != 2:
                # The gradient of |.| at 0 is 0.
                loss = loss + 10 * (1 - free_s).abs().sum() / len(one)
            loss.backward()
            assert free_a.grad is not None
            assert free_s.grad is not None
            a, a_mean, a_square = adamw(a, free_a.grad, a_mean, a_square, step, 0.02)
            s, s_mean, s_square = adamw(s, free_s.grad, s_mean, s_square, step, 0.02)
            a, s = a.clamp(0, 1), s.clamp(0, 1)
            course.append((phase, a, s))
            value = float(loss.detach())
            if value < 0.98 * best:
                best, stalled = value, 0
            else:
                stalled += 1
            if stalled > 25:
                break
    return course


def test_paper_equals_the_published_procedure_over_all_three_phases(subject: Subject) -> None:
    rounds = 45
    course = published(subject.model, subject.images, rounds)
    defense = IMS(replace(preset("paper"), rounds_initialise=rounds, rounds_minimise=rounds, rounds_sparsify=rounds))
    taken = [(record.stage, state) for state, record in drive(defense, subject, defense.init(subject))]
    assert [list(Phase).index(phase) for phase, _ in taken] == [phase for phase, _, _ in course]
    assert {phase for phase, _, _ in course} == {1, 2, 3}
    lengths = [sum(phase == number for phase, _, _ in course) for number in (1, 2, 3)]
    assert 26 < min(lengths) < rounds, f"some phase should end for want of progress: {lengths}"
    for (_, state), (_, mask, selection) in zip(taken, course, strict=True):
        torch.testing.assert_close(state.mask, mask, rtol=0, atol=1e-7)
        torch.testing.assert_close(state.selection, selection, rtol=0, atol=1e-7)
    assert min(float(selection.min()) for _, _, selection in course) < 0.5, "channels should be selected on the way"


def test_losses_equal_the_formulas() -> None:
    p, q = torch.rand(2, 9, CLASSES, dtype=torch.float64).softmax(-1)
    assert float(agree(p, q)) == pytest.approx(float(expected_agree(p, q)), rel=1e-12)
    assert float(disagree(p, q)) == pytest.approx(float(expected_disagree(p, q)), rel=1e-12)
    certain = torch.eye(CLASSES, dtype=torch.float64)
    assert float(agree(certain, certain)) == pytest.approx(0, abs=1e-7)
    assert float(divergence(p, q)) == pytest.approx(float(expected_divergence(p, q)), rel=1e-12)
    assert float(divergence(q, q)) == pytest.approx(0, abs=1e-12)
    assert float(divergence(certain, certain)) == 0
    assert float(disagree(certain, certain)) == pytest.approx(18.42, abs=0.01)  # -log(1e-8)
