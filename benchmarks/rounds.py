"""One round of each phase: the engine's `paper` against a plain implementation of the published schedule.

Both on the same network and the same 100 clean images, in turn, after warm-up; the time of one round of phases 1 to 3
together is compared, and the phases by themselves. The engine's arithmetic is float32 and, where the processor has it,
bfloat16; the plain one's is always float32. Before that, both take one round of each phase in float32 from the same
masks: the losses have to be equal.

    python -m benchmarks.rounds --json
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmarks import speed
from benchmarks.as_published import AsPublished
from invmask import settings
from invmask.data.budget import clean_budget
from invmask.defenses.base import Subject
from invmask.defenses.ims import search
from invmask.defenses.ims.config import Phase, preset
from invmask.defenses.ims.state import IMSState
from invmask.defenses.ims.stepper import IMS
from invmask.machine import Precision, has_bfloat16
from invmask.masks.attach import sharing_copy
from invmask.masks.state import MaskLayout
from invmask.victims.victim import find_cards, load_victim, new_model

PHASES = (Phase.INITIALISE, Phase.MINIMISE, Phase.SPARSIFY)
"""The published phases, 1 to 3."""


def main() -> None:
    """Measure, print, and store."""
    parser = speed.parser(__doc__, "rounds")
    parser.add_argument("--widths", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--spc", type=int, default=10)
    arguments = speed.begin(parser)
    found = {}
    for width in arguments.widths:
        found[f"width{width}"] = measure(width, arguments.spc, arguments.times, arguments.device)
        print(words(width, found[f"width{width}"]), file=sys.stderr)
    first = found[f"width{arguments.widths[0]}"]
    result = {
        "what": "seconds of one round of phases 1 to 3; ratio: as published over the engine's `paper`",
        **{key: value for key, value in first.items() if key.startswith("ratio_")},
        "widths": found,
        "spc": arguments.spc,
    }
    speed.keep(arguments, result)


def measure(width: int, spc: int, times: int, device: str) -> dict[str, Any]:
    """Seconds of every timed round, and the ratios of their medians.

    Raises:
        SystemExit: the two implementations do not compute the same losses.
    """
    subject, plain = contestants(width, spc, device)
    check(subject, plain)
    rounds: dict[str, Callable[[Phase], Any]] = {"as_published": lambda phase: plain.round(1 + PHASES.index(phase))}
    precisions: list[Precision] = ["float32", *(["bfloat16"] if has_bfloat16(device) else [])]  # type: ignore[list-item]
    for precision in precisions:
        rounds[precision] = engine_round(replace(subject, precision=precision))
    seconds: dict[str, dict[str, list[float]]] = {name: {phase: [] for phase in PHASES} for name in rounds}
    for turn in range(times + 1):  # the first is warm-up
        for phase in PHASES:
            for name, take in rounds.items():
                taken = clocked(take, phase, device)
                if turn:
                    seconds[name][phase].append(taken)
    totals = {name: [sum(turn) for turn in zip(*phases.values(), strict=True)] for name, phases in seconds.items()}
    ratios = {
        f"ratio_{name}": statistics.median(totals["as_published"]) / statistics.median(totals[name])
        for name in precisions
    }
    by_phase = {
        f"ratio_{name}_by_phase": {
            phase: statistics.median(seconds["as_published"][phase]) / statistics.median(seconds[name][phase])
            for phase in PHASES
        }
        for name in precisions
    }
    return {**ratios, **by_phase, "n": times, "seconds": seconds}


def contestants(width: int, spc: int, device: str) -> tuple[Subject, AsPublished]:
    """The engine's subject and the plain implementation, with networks of the same weights.

    Width 16 is the embedded BadNets victim. For other widths the weights are random, because speed does not depend on
    them.
    """
    torch.manual_seed(0)
    name = f"cifar10-preactresnet18w{width}-badnets"
    folders = settings.victim_folders()
    if name in find_cards(folders):
        model = load_victim(name, folders).model
    else:
        model = new_model("cifar10", f"preactresnet18w{width}").eval().requires_grad_(False)
    images = clean_budget("cifar10", spc, 0).tensor().to(device)
    plain = AsPublished(sharing_copy(model).to(device), images)
    own = sharing_copy(model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Subject(own, images, 10), plain


def state_in(subject: Subject, ims: IMS, phase: Phase) -> IMSState:
    """A state at the beginning of a phase, with masks and selections drawn at random.

    If the preset searches, the state has a trigger to withstand: the smallest patch after a single round of the search.
    """
    generator = torch.Generator().manual_seed(1)
    mask, selection = torch.rand(2, MaskLayout.of(subject.model).channels, generator=generator).to(subject.device)
    state = replace(ims.init(subject), mask=mask, selection=selection)
    if ims.config.rounds_search and phase is not Phase.SEARCH:
        found = search.searched(subject, state.search, state.reference.argmax(1), generator, ims.config)
        state = replace(state, hypotheses=search.hypotheses(found, ims.config))
    return state.begin(phase)


def engine_round(subject: Subject) -> Callable[[Phase], Any]:
    """A function that takes the first round of a phase in the engine."""
    ims = IMS(preset("paper"))
    states = {phase: state_in(subject, ims, phase) for phase in PHASES}
    return lambda phase: ims.step(subject, states[phase])


def check(subject: Subject, plain: AsPublished) -> None:
    """Check that both find the same outer loss in every phase, for the clean images and the same masks."""
    ims = IMS(preset("paper"))
    for number, phase in enumerate(PHASES, 1):
        state = state_in(subject, ims, phase)
        _, record = ims.step(subject, state)
        with torch.no_grad():
            sizes = [len(mask) for mask in plain.mask]
            for own, whole in ((plain.mask, state.mask), (plain.selection, state.selection)):
                for vector, part in zip(own, whole.split(sizes), strict=True):
                    vector.copy_(part)
        plain.begin_phase()
        loss = plain.round(number)
        if abs(loss - record.total) > 1e-2 * max(1.0, abs(loss)):
            raise SystemExit(f"Phase {number}: the engine finds {record.total:.5f}, the plain one {loss:.5f}.")


def clocked(take: Callable[[Phase], Any], phase: Phase, device: str) -> float:
    """Seconds of one round, including the accelerator's work."""
    started = time.perf_counter()
    take(phase)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started


def words(width: int, found: dict[str, Any]) -> str:
    """The result as one line of text."""
    ratios = ", ".join(f"{key[6:]} {value:.2f}x" for key, value in found.items() if isinstance(value, float))
    medians = {name: sum(statistics.median(taken) for taken in of.values()) for name, of in found["seconds"].items()}
    return f"width {width}: {ratios}; " + ", ".join(f"{name} {taken:.2f} s" for name, taken in medians.items())


if __name__ == "__main__":
    main()
