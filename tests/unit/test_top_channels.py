"""On the embedded BadNets victim, after a real run at SPC 10: the highest-scored channels carry the backdoor."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from invmask.attacks.victims import Victim, load_victim
from invmask.data.budget import probe
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
    masks = Masks(stored["mask"], stored["selection"])
    return ranking(channel_scores(masks, MaskLayout.of(victim.model)))[:10].tolist()


def test_ten_highest_scored_lower_asr_more_than_the_best_of_twenty_random_sets(victim, top):
    layout = MaskLayout.of(victim.model)
    images = ProbeImages.of(probe(victim.card.dataset, 20), victim)
    ablation = Ablation(victim.model, layout, images)
    sets = random_sets(layout, top, 20)
    original, cut, *random = ablation.cut([[], top, *sets])
    assert (len(random), cut.n_triggered) == (20, 180)
    assert original.asr > 0.9
    assert cut.asr < min(measures.asr for measures in random)
    # The backdoor goes, not the network.
    assert cut.acc > original.acc - 0.05
