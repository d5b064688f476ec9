"""On the embedded BadNets victim, after a real run at SPC 10: the highest-scored channels carry the backdoor."""

import json
import statistics
from pathlib import Path

import pytest
from safetensors.torch import load_file

from invmask.data.budget import clean_budget, probe
from invmask.defenses.ims.config import IMSConfig, preset
from invmask.evidence.ablation import Ablation, random_sets
from invmask.evidence.scores import channel_scores, ranking
from invmask.masks.state import MaskLayout, Masks
from invmask.runs.work.bench import ProbeImages
from invmask.settings import ASSETS
from invmask.victims.victim import load_victim

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_random_set_does_better_than_the_ten_highest_scored(seed):
    """From the same layers, as many from each; and the backdoor goes, not the network."""
    stem = DATA / f"badnets_default_spc10_seed{seed}"
    stored = json.loads(stem.with_suffix(".json").read_text())
    # Where the preset has changed, the masks have to be learned anew, by the command that the file names.
    assert IMSConfig.from_json(stored["config"]) == preset("default", seed=seed)
    victim = load_victim(stored["victim"], [ASSETS / "victims"])
    tensors, layout = load_file(stem.with_suffix(".safetensors")), MaskLayout.of(victim.model)
    masks, budget = Masks(tensors["mask"], tensors["selection"]), clean_budget(victim.card.dataset, 10, seed).tensor()
    scores = channel_scores(victim.model, layout, masks, budget)
    assert float(scores.min()) == 0
    assert 0.25 < float(scores.max()) < 1
    top = ranking(scores)[:10].tolist()
    ablation = Ablation(victim.model, layout, ProbeImages.of(probe(victim.card.dataset, 20), victim))
    original, cut, *random = ablation.cut([[], top, *random_sets(layout, top, 20)])
    assert (len(random), cut.n_triggered) == (20, 180)
    best = min(measures.asr for measures in random)
    assert original.asr > 0.9
    assert cut.asr < best - 0.1
    assert cut.asr < statistics.median(measures.asr for measures in random) - 0.3
    assert cut.acc > original.acc - 0.06
