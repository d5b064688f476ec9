"""A victim whose every class has a target of its own, from its card to what is gathered for a run of it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from invmask.data.images import LabelledImages
from invmask.evidence.ablation import Ablation
from invmask.evidence.conductance import layer_conductance
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, View
from invmask.measure.views import Fate, ViewAnswers
from invmask.runs.work.bench import ProbeImages, measure_views
from invmask.victims.victim import Victim, VictimCard, load_victim, read_card, save_victim
from tests.unit.run_helpers import VICTIM, write_victims


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    write_victims(tmp_path)
    found = load_victim(VICTIM, [tmp_path])
    card = replace(found.card, name="all", labels="all-to-all", target_label=None)
    save_victim(tmp_path, card, found.model)
    return load_victim("all", [tmp_path])


def test_the_card_tells_it_from_a_clean_control(victim: Victim, tmp_path: Path):
    card: VictimCard = victim.card
    assert card.targets is not None
    assert card.targets.label is None
    assert [card.target_of(label) for label in (0, 9)] == [1, 0]
    control = read_card(tmp_path / "cifar10-preactresnet18w2-clean.json")
    assert (control.targets, control.target_of(3)) == (None, None)


def test_asr_is_the_share_answered_with_the_next_class(victim: Victim, test_images: LabelledImages):
    images = ProbeImages.of(test_images, victim)
    assert images.triggered is not None
    assert images.triggered.shape == images.clean.shape
    assert bool(images.attacked.all())
    layout = MaskLayout.of(victim.model)
    measures = measure_views(victim.model, Gates(Masks.initial(layout)), (View.ORIGINAL,), images, "float32")[
        View.ORIGINAL
    ]
    with torch.no_grad():
        said = victim.model(images.triggered).argmax(1)
    assert measures.asr == pytest.approx(float((said == (images.labels + 1) % 10).float().mean()))
    assert measures.ra == pytest.approx(float((said == images.labels).float().mean()))
    assert measures.n_triggered == 100
    (again,) = Ablation(victim.model, layout, images).cut([[]])
    assert again == measures


def test_conductance_goes_toward_each_images_own_target(victim: Victim, test_images: LabelledImages):
    images = ProbeImages.of(test_images.take(slice(0, 3)), victim)  # type: ignore[arg-type]
    assert images.triggered is not None
    assert images.targets is not None
    layer, wanted = MaskLayout.of(victim.model).layers[-1], images.targets.of(images.labels)
    together = layer_conductance(victim.model, layer, images.triggered, images.clean, wanted)
    alone = [
        layer_conductance(victim.model, layer, images.triggered[i : i + 1], images.clean[i : i + 1], int(wanted[i]))
        for i in range(3)
    ]
    torch.testing.assert_close(together, torch.stack(alone).mean(0), rtol=1e-3, atol=1e-4)


def test_a_fooled_image_is_one_that_gets_its_own_target(victim: Victim):
    said = torch.eye(10)[torch.tensor([[1, 1], [1, 0], [1, 0]])]
    answers = ViewAnswers(said, torch.tensor([0, 0]), victim.card.targets)
    assert answers.fates(View.PRUNED) == [Fate.STILL_FOOLED, Fate.RECOVERED]
    other = ViewAnswers(said, torch.tensor([3, 3]), victim.card.targets)
    assert other.fates(View.PRUNED) == [Fate.UNCHANGED, Fate.OTHERWISE_WRONG]
