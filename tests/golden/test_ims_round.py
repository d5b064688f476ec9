"""Losses and one whole round of each phase against an independent float64 computation.

Nothing of invmask computes the expected values: the network's forward pass, the masks, the losses and
AdamW are written out again below, from the formulas.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.defenses.base import Subject, drive
from invmask.defenses.ims.config import IMSConfig, Phase, preset
from invmask.defenses.ims.losses import agree, disagree
from invmask.defenses.ims.state import IMSState
from invmask.defenses.ims.stepper import IMS

CLASSES = 4
CHANNELS = (5, 6, 6)
INNER_RATE, OUTER_RATE, BOUND, LAMBDA, K = 0.022, 0.05, 0.08, 3.0, 12.0
# Our additions: pressure, amplification, one perturbation of low frequencies and no stronger than needed, and weights
# of outer terms.
CYCLES, PARTS, MU, KAPPA, OUR_WEIGHTS = (
    2.0,
    3,
    0.7,
    1.5,
    {"pruned clean": 4.0, "pruned perturbed": 0.3, "inverse perturbed": 0.6},
)
FLIPS_KEPT, SLOPE = 0.5, 0.4
EFFORT, INVERSE_CLEAN, LABEL, TURNED_UP, KAPPA_HELD, WEIGHT_HELD = 2.5, 0.4, 2, 0.8, 0.6, 0.9


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


def expected_strength(net: SmallNet, x: Tensor, d: Tensor) -> float:
    """The least eighth of d that changes FLIPS_KEPT of the answers that d changes, by halving; 1 where it is none."""
    one = torch.ones(sum(CHANNELS), dtype=torch.float64)
    changed = [
        int((forward(net, x + eighths / 8 * d, one).argmax(1) != forward(net, x, one).argmax(1)).sum())
        for eighths in range(9)
    ]
    low, high = 0, 8
    while changed[8] and high > low + 1:
        middle = (low + high) // 2
        low, high = (low, middle) if changed[middle] >= FLIPS_KEPT * changed[8] else (middle, high)
    return high / 8


def expected_round(
    subject: Subject, state: IMSState, inner_steps: int, ours: bool, shared: bool
) -> tuple[Tensor, Tensor, Tensor, dict[str, float]]:
    """Mask, selection, perturbation and losses of one round, from the formulas."""
    net, x = subject.model, subject.images
    assert isinstance(net, SmallNet)
    one = torch.ones(sum(CHANNELS), dtype=torch.float64)
    reference = forward(net, x, one)
    a, s = state.mask.clone().requires_grad_(), state.selection.clone().requires_grad_()
    q = 1 / (1 + torch.exp(-K * (a - 0.5)))
    m, m_bar = q + s * (1 - q), (1 - q) + s * q
    d = torch.zeros_like(x[:1] if shared else x)
    shape = low_pass if shared else torch.Tensor.clone
    losses = {
        "pruned clean": expected_agree(forward(net, x, m), reference),
        "inverse clean": expected_disagree(forward(net, x, m_bar), reference),
    }
    if state.phase is not Phase.INITIALISE:
        mean = square = torch.zeros_like(d)
        for step in range(1, inner_steps + 1):
            free = d.clone().requires_grad_()
            some = [i for i in range(len(x)) if i % PARTS == (step - 1) % PARTS] if shared else list(range(len(x)))
            perturbed = x[some] + shape(free)
            of_ref = forward(net, perturbed, one)
            loss = expected_agree(forward(net, perturbed, m_bar.detach()), of_ref)
            if ours:
                amplified = forward(net, x[some], 1 + KAPPA * (1 - m.detach()))
                if state.held:
                    amplified = torch.eye(CLASSES, dtype=torch.float64)[[LABEL] * len(some)]
                restored = expected_agree(forward(net, perturbed, m.detach()), reference[some])
                loss = loss + expected_agree(of_ref, amplified) + restored
            else:
                loss = loss + expected_disagree(of_ref, reference[some])
            loss.backward()
            assert free.grad is not None
            d, mean, square = adamw(d, free.grad, mean, square, step, INNER_RATE)
            d = d.clamp(-BOUND, BOUND)
        d = shape(d).clamp(-BOUND, BOUND).expand_as(x)
        if ours:
            d = d * expected_strength(net, x, d)
        losses["pruned perturbed"] = expected_agree(forward(net, x + d, m), reference)
        losses["inverse agrees perturbed"] = expected_agree(forward(net, x + d, m_bar), forward(net, x + d, one))
        losses["inverse perturbed"] = expected_disagree(forward(net, x + d, m_bar), reference)
    losses["sparsity"] = ((1 - s) * torch.where(s == 1, SLOPE, 1)).mean() if ours else (1 - s).abs().mean()
    weights = {"sparsity": 0.0 if state.phase is Phase.MINIMISE else LAMBDA}
    if ours:
        losses["pressure"] = m.mean()
        weights |= {"pressure": MU, **OUR_WEIGHTS}
        if state.phase is Phase.INITIALISE:
            weights["pressure"] *= EFFORT
        else:
            weights["pruned perturbed"] *= EFFORT
            weights["inverse clean"] = INVERSE_CLEAN
        if state.phase is Phase.INITIALISE or state.held:
            kappa = KAPPA_HELD if state.held else KAPPA
            weights["turned up"] = TURNED_UP if state.phase is Phase.INITIALISE else WEIGHT_HELD
            losses["turned up"] = -(forward(net, x, 1 + kappa * (1 - m))[:, LABEL] + 1e-8).log().mean()
    total = sum(loss * weights.get(name, 1) for name, loss in losses.items())
    assert isinstance(total, Tensor)
    total.backward()
    assert a.grad is not None
    assert s.grad is not None
    step = state.optimizer_steps + 1
    new_a = adamw(a.detach(), a.grad, state.mask_mean, state.mask_square, step, OUTER_RATE)[0]
    new_s = adamw(s.detach(), s.grad, state.selection_mean, state.selection_square, step, OUTER_RATE)[0]
    return new_a.clamp(0, 1), new_s.clamp(0, 1), d, {name: float(loss.detach()) for name, loss in losses.items()}


@pytest.mark.parametrize(
    ("ours", "shared", "held"),
    [(False, False, False), (True, False, False), (True, True, False), (True, False, True), (True, True, True)],
    ids=["published", "ours", "ours, shared", "ours, held", "ours, shared, held"],
)
@pytest.mark.parametrize("phase", list(Phase))
def test_round_equals_the_formulas(subject: Subject, phase: Phase, ours: bool, shared: bool, held: bool) -> None:
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
        config = replace(
            config, pressure=MU, amplification=KAPPA, shared_cycles=CYCLES * shared, inner_parts=PARTS, **weights
        )
        config = replace(
            config,
            weight_inverse_clean=INVERSE_CLEAN,
            keep_clean=0.5,
            label_rounds=3,
            weight_turned_up=TURNED_UP,
            flips_kept=FLIPS_KEPT,
            slope_at_one=SLOPE,
            held_amplification=KAPPA_HELD,
            weight_held=WEIGHT_HELD,
        )
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
        effort=EFFORT if ours else 1.0,
        label=LABEL if ours else None,
        race_over=ours,
        held=held,
    )
    mask, selection, perturbation, losses = expected_round(subject, state, inner_steps, ours, shared)
    after, record = defense.step(subject, state)
    torch.testing.assert_close(after.mask, mask, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(after.selection, selection, rtol=1e-9, atol=1e-12)
    assert record.terms == pytest.approx(losses, rel=1e-9)
    if phase is Phase.INITIALISE:
        assert len(after.example_perturbations) == 0
    else:
        largest = float(perturbation.abs().max()) / BOUND
        assert largest < 1 if ours else largest == pytest.approx(1), "the bound, or less, should matter here"
        torch.testing.assert_close(after.example_perturbations, perturbation, rtol=1e-9, atol=1e-12)


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
    assert [list(Phase).index(phase) + 1 for phase, _ in taken] == [phase for phase, _, _ in course]
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
    assert float(disagree(certain, certain)) == pytest.approx(18.42, abs=0.01)  # -log(1e-8)
