"""Which label does a backdoor answer? The first phase, begun for every label at once; the ones left behind drop out.

Ours. Every label has a mask of its own, which shall not only be what the first phase asks for but also lead the clean
images to that label when the channels cut so far are turned up. A backdoor's label comes by such a mask sooner than the
others: its channels are there for just that, and the clean answers do not need them. No label of an image enters.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from invmask.defenses.ims.state import VECTORS, IMSState

# More images than about these make a round slower, and the race hardly fairer.
IMAGES = 50


def spread(answers: Tensor, count: int) -> Tensor:
    """Places of at most so many images of every answer that they are `count` together, and of one at least.

    An image leads most easily to its own answer: labels that are answered more often would look ahead.

    Args:
        answers: int64 [N], labels.

    Returns:
        int64, rising.
    """
    is_answer = F.one_hot(answers)
    turn = (is_answer.cumsum(0) * is_answer).sum(1)
    return (turn <= max(1, count // len(answers.unique()))).nonzero()[:, 0]


def start(state: IMSState, classes: int) -> IMSState:
    """Every label at the start, from the masks of `state`."""
    vectors = torch.stack([getattr(state, name) for name in VECTORS])
    device = vectors.device
    return replace(
        state,
        race_labels=torch.arange(classes, device=device),
        race_vectors=vectors[:, None].expand(-1, classes, -1).clone(),
        race_efforts=torch.ones(classes, dtype=torch.float64, device=device),
        race_totals=torch.zeros(classes, dtype=torch.float64, device=device),
    )


def runner(state: IMSState, place: int) -> IMSState:
    """The state as the label at `place` sees it."""
    vectors = dict(zip(VECTORS, state.race_vectors[:, place], strict=True))
    return replace(state, **vectors, effort=float(state.race_efforts[place]), label=int(state.race_labels[place]))


def advanced(state: IMSState, runners: Sequence[IMSState], totals: Sequence[float], rounds: int) -> IMSState:
    """The race after a round that took every label to `runners` at outer losses of `totals`.

    The slower half is left behind after a third of the `rounds`, and of the rest again after two thirds, but for two at
    least. The masks of the state are those of the label that leads.
    """
    taken, device = state.round_in_phase + 1, state.race_totals.device
    state = replace(
        state,
        race_vectors=torch.stack([torch.stack([getattr(each, name) for name in VECTORS]) for each in runners], 1),
        race_efforts=torch.tensor([each.effort for each in runners], dtype=torch.float64, device=device),
        race_totals=state.race_totals + torch.tensor(totals, dtype=torch.float64, device=device),
    )
    order = state.race_totals.argsort(stable=True)
    if taken in {-(-rounds // 3), -(-2 * rounds // 3)}:
        order = order[: max(2, -(-len(order) // 2))]
    state = replace(
        state,
        race_labels=state.race_labels[order],
        race_vectors=state.race_vectors[:, order],
        race_efforts=state.race_efforts[order],
        race_totals=state.race_totals[order],
    )
    leader = runner(state, 0)
    return replace(leader, optimizer_steps=runners[0].optimizer_steps)


def lead(state: IMSState) -> float:
    """How far the first label is ahead of the second: the difference of their mean outer losses so far, in nats."""
    first, second = state.race_totals[:2].tolist()
    return (second - first) / max(1, state.round_in_phase)
