"""On the embedded BadNets victim, after a real run at SPC 10: the highest-scored channels carry the backdoor."""

import json
import statistics
from pathlib import Path

import pytest
from safetensors.torch import load_file

from invmask.attacks.victims import Victim, load_victim
from invmask.data.budget import clean_budget, probe
from invmask.evidence.ablation import Ablation, random_sets
from invmask.evidence.scores import channel_scores, ranking
from invmask.masks.state import MaskLayout, Masks
from invmask.runs.subject import ProbeImages
from invmask.settings import ASSETS

STEM = Path(__file__).resolve().parents[1] / "data" / "badnets_default_spc10_seed0"


@pytest.fixture(scope="module")
def victim() -> Victim:
    return load_victim(json.loads(STEM.with_suffix(".json").read_text())["victim"], [ASSETS / "victims"])


@pytest.fixture(scope="module")
def top(victim: Victim) -> list[int]:
    stored = load_file(STEM.with_suffix(".safetensors"))
    masks, images = Masks(stored["mask"], stored["selection"]), clean_budget(victim.card.dataset, 10, 0).tensor()
    return ranking(channel_scores(victim.model, MaskLayout.of(victim.model), masks, images))[:10].tolist()


def test_no_random_set_that_leaves_the_network_standing_does_better_than_the_ten_highest_scored(victim, top):
    """From the same layers. A set that breaks the network altogether lowers its ASR, too, so ACC counts."""
    layout = MaskLayout.of(victim.model)
    images = ProbeImages.of(probe(victim.card.dataset, 20), victim)
    ablation = Ablation(victim.model, layout, images)
    sets = random_sets(layout, top, 20)
    original, cut, *random = ablation.cut([[], top, *sets])
    assert (len(random), cut.n_triggered) == (20, 180)
    assert original.asr > 0.9 > 0.2 > cut.asr
    standing = [measures for measures in random if measures.acc > cut.acc - 0.05]
    assert len(standing) >= 10
    assert cut.asr <= min(measures.asr for measures in standing)
    assert cut.asr < statistics.median(measures.asr for measures in standing) - 0.5
    # The backdoor goes, not the network.
    assert cut.acc > original.acc - 0.06
