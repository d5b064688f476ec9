"""A whole defence as a user runs it, to its end, and what it promises of the victim."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from invmask import settings
from invmask.defenses.base import drive
from invmask.masks import constant
from invmask.masks.fold import Folded, fold
from invmask.masks.repair import Repair
from invmask.masks.state import MaskLayout, Sparsity, View
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.runs.work.bench import Bench, make_bench, spec_of

ROOT = Path(__file__).resolve().parents[2]
VICTIM = "fashionmnist-cnn4-badnets"
KEYS = {View.ORIGINAL: "original", View.PRUNED: "pruned_view", View.INVERSE: "inverse_view"}

Outcome = dict[str, Any]
# In brackets what a run ends at, in bfloat16 and in float32.
CLAIMS: dict[str, Callable[[Outcome], bool]] = {
    # ASR 100 %
    "the victim has a backdoor": lambda found: found["original"]["asr"] > 0.9,
    # ASR 0.4 %
    "the pruned view loses the backdoor": lambda found: found["pruned_view"]["asr"] < 0.05,
    "the pruned view keeps its accuracy": lambda found: found["pruned_view"]["acc"] > found["original"]["acc"] - 0.04,
    # RA 0 % before, 89.4 and 89.6 % after
    "triggered images are recovered": lambda found: found["pruned_view"]["ra"] > found["original"]["ra"] + 0.7,
    # ASR 100 %
    "the inverse view keeps the backdoor": lambda found: found["inverse_view"]["asr"] > 0.8,
    # ACC 14.8 and 11.6 %
    "the inverse view keeps little else": lambda found: found["inverse_view"]["acc"] < 0.4,
}


@dataclass(frozen=True)
class Defended:
    """A home with one run in it, and what the command printed."""

    home: Path
    outcome: Outcome

    @property
    def run(self) -> Run:
        return RunStore(self.home / "runs").run(self.outcome["run"])


def invmask(home: Path, *arguments: str) -> str:
    """What `python -m invmask` prints, in a process of its own."""
    environment = {**os.environ, "INVMASK_HOME": str(home), "INVMASK_THREADS": "1"}
    command = [sys.executable, "-m", "invmask", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def defended(tmp_path_factory: pytest.TempPathFactory) -> Defended:
    """The one run that all tests look at."""
    home = tmp_path_factory.mktemp("defended")
    asked = ["--spc", "10", "--preset", "default", "--seed", "0", "--json"]
    return Defended(home, json.loads(invmask(home, "defend", VICTIM, *asked)))


def broken(found: Outcome) -> set[str]:
    """The claims that do not hold."""
    return {claim for claim, holds in CLAIMS.items() if not holds(found)}


def measured(bench: Bench, repair: Repair) -> Outcome:
    """The views of a repair, as the command tells of them."""
    views = bench.measure(bench.all_test_images(), repair, repair.views)
    return {KEYS[view]: {"acc": found.acc, "asr": found.asr, "ra": found.ra} for view, found in views.items()}


@pytest.fixture
def bench() -> Bench:
    """What the run worked on, in this process."""
    return make_bench(spec_of(VICTIM, "default", 10, 0), settings.victim_folders())


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_defence_keeps_its_promise(claim: str, defended: Defended):
    views = {key: defended.outcome[key] for key in KEYS.values()}
    assert CLAIMS[claim](views), views


def test_the_label_is_found_and_the_synthesized_trigger_lies_where_the_attackers_does(defended: Defended, bench: Bench):
    found, card = defended.run.candidates_at(sum(defended.outcome["rounds"].values())), bench.victim.card
    assert found is not None
    assert (found.family, found.standing_out) == ("patch", card.target_label)
    assert found.lead is not None
    assert found.lead > 0.6
    portrait = found.portraits[found.labels.tolist().index(card.target_label)].astype(float)
    # On mid grey: what is not grey is the patch.
    weight = np.abs(portrait - 127.5).sum(2).clip(2) - 2
    attack, (height, width) = card.make_attack(), weight.shape
    assert attack is not None
    grey = torch.full((1, bench.subject.shape[0], height, width), 0.5)
    right = ((attack.apply(grey) - grey).abs() > 0.01).any(1)[0].numpy()
    # Its training images were mirrored: the network knows the square on either side.
    square = right | right[:, ::-1]
    # 18 of 784 pixels.
    assert square.mean() < 0.03
    assert weight[square].sum() > 0.4 * weight.sum()


def test_show_tells_the_same_of_it(defended: Defended):
    shown = json.loads(invmask(defended.home, "show", defended.outcome["run"], "--json"))
    assert {key: shown[key] for key in defended.outcome} == defended.outcome
    assert (shown["state"], shown["round"]) == ("finished", sum(defended.outcome["rounds"].values()))
    assert shown["measured_on"] == {"clean": 2000, "triggered": 1800}


def test_every_round_is_on_record(defended: Defended):
    run, outcome = defended.run, defended.outcome
    entries, rounds = run.entries(), sum(outcome["rounds"].values())
    assert [entry.record.round for entry in entries] == list(range(1, rounds + 1))
    assert {name for name, taken in outcome["rounds"].items() if taken} == {"search", "minimise", "sparsify"}
    # What the rounds say on the run's few images is what comes out on all of them.
    first, last = entries[0].views.pruned, entries[-1].views.pruned
    assert (first.asr, last.asr) == (1, pytest.approx(outcome["pruned_view"]["asr"], abs=0.03))
    assert run.mask_history().shape == (rounds + 1, 2, outcome["channels"])
    assert bool((run.masks_at(0).gate(View.PRUNED) > 0.999).all())
    counts = Sparsity.of(run.masks_at(rounds))
    assert (counts.selected, counts.pruned) == (outcome["selected"], outcome["pruned"])
    assert 0 < counts.pruned <= counts.selected < counts.channels / 2


def test_gates_left_at_one_are_found_out(defended: Defended, bench: Bench, monkeypatch: pytest.MonkeyPatch):
    repair = defended.run.repair_at(sum(defended.outcome["rounds"].values()))
    assert broken(measured(bench, repair)) == set()

    def fold_nothing(model: torch.nn.Module, layout: MaskLayout, gates: torch.Tensor) -> Folded:
        return fold(model, layout, torch.ones_like(gates))

    monkeypatch.setattr(constant, "fold", fold_nothing)
    assert broken(measured(bench, repair)) == {
        "the pruned view loses the backdoor",
        "triggered images are recovered",
        "the inverse view keeps little else",
    }


def test_a_budget_of_noise_is_found_out(bench: Bench):
    noise = torch.rand(bench.subject.images.shape, generator=torch.Generator().manual_seed(0))
    subject = replace(bench.subject, images=noise)
    *_, (state, _) = drive(bench.defense, subject, bench.defense.init(subject))
    # KL to the answers to noise keeps the accuracy on images, too: what is wrong is that the backdoor stays.
    assert broken(measured(bench, bench.defense.repair(state))) == {
        "the pruned view loses the backdoor",
        "triggered images are recovered",
        "the inverse view keeps little else",
    }
