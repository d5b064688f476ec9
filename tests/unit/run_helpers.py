"""What the tests of runs share: a tiny victim in a home of its own, and specs that take a second or two."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from invmask.data.budget import probe
from invmask.defenses.ims.config import IMSConfig
from invmask.models import Classifier
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.goals import Goal, Want, write_want
from invmask.runs.store.records import RoundEntry
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.runs.work.advance import advance
from invmask.victims.victim import VictimCard, save_victim
from tests.conftest import make_narrow

ROOT = Path(__file__).resolve().parents[2]
VICTIM = "cifar10-preactresnet18w2-badnets"
CONTROL = "cifar10-preactresnet18w2-clean"


def write_victims(folder: Path) -> None:
    """A backdoored victim and a clean control; of random weights, for what they answer does not matter here."""
    for attack in ("badnets", "clean"):
        backdoored = attack == "badnets"
        card = VictimCard(
            name=f"cifar10-preactresnet18w2-{attack}",
            dataset="cifar10",
            architecture="preactresnet18w2",
            attack=attack,
            poisoning_ratio=0.1 if backdoored else 0.0,
            target_label=0 if backdoored else None,
            acc=0.1,
            asr=0.2 if backdoored else None,
            ra=0.1 if backdoored else None,
            n_test=10_000,
        )
        save_victim(folder, card, _various())


def _various() -> Classifier:
    """A narrow network that gives various answers with various certainty, unlike one fresh from the initialiser."""
    model = make_narrow(width=2)
    linear = model.network.linear
    logits = model(probe("cifar10", 5).tensor())
    scale = 2 / logits.std(0)
    linear.weight.mul_(scale[:, None])
    linear.bias.copy_((linear.bias - logits.mean(0)) * scale)
    return model


def small_spec(victim: str = VICTIM, **changes: Any) -> RunSpec:
    config = IMSConfig(
        rounds_initialise=2, rounds_minimise=3, rounds_sparsify=2, inner_steps=2, batch_size=8, patience=50
    )
    spec = RunSpec(victim=victim, preset="paper", spc=1, seed=0, config=config, probe_per_class=1)
    return replace(spec, **changes)


def taken(home: Path, spec: RunSpec, rounds: int) -> Run:
    """A run in `home` that took some rounds and paused."""
    run = RunStore(home / "runs").create(spec)
    if rounds:
        advance_to(run, rounds)
    return run


def advance_to(run: Run, rounds: int) -> None:
    """Take the run to a round, in this process."""
    write_want(run.path, Want(Goal.ADVANCE, rounds))
    advance(run.path)


def long_spec(rounds: int = 300, **changes: Any) -> RunSpec:
    """One that is still under way when a test looks at it."""
    config = replace(small_spec().config, rounds_minimise=rounds, inner_steps=4)
    return small_spec(config=config, **changes)


def without_time(entries: tuple[RoundEntry, ...]) -> list[RoundEntry]:
    return [replace(entry, seconds=0.0) for entry in entries]
