"""Attacks that act in the training: who is poisoned in each batch, what is trained along, and how it goes on."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from invmask.attacks.base import EpochReport, Progress
from invmask.attacks.registry import ATTACKS, make_attack
from invmask.attacks.training.poison_batches import Batch, Drawn, LoopAttack, Session
from invmask.attacks.training.poison_set import PoisonedSet
from invmask.attacks.training.train_victim import TrainingConfig, train
from invmask.attacks.triggers.iab import IAB, diversity_loss
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.measure.target_labels import Targets
from invmask.models import Classifier
from invmask.victims.victim import new_model

CPU = torch.device("cpu")
ZERO = Targets.all_to_one(0, 10)
CONFIG = TrainingConfig(epochs=2, batch_size=16, learning_rate=0.05)
NARROW = {"iab": {"width": 4}}


@pytest.fixture(params=sorted(name for name, kind in ATTACKS.items() if issubclass(kind, LoopAttack)))
def attack(request: pytest.FixtureRequest) -> LoopAttack:
    found = make_attack(request.param, NARROW.get(request.param))
    assert isinstance(found, LoopAttack)
    return found


def some(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, 16, 16), generator=generator).float() / 255
    return images, torch.randint(0, 10, (count,), generator=generator)


def tiny_model() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return new_model("cifar10", "preactresnet18w2")


def test_the_attacks_that_their_papers_put_into_the_training_are_there():
    assert {name for name, kind in ATTACKS.items() if issubclass(kind, LoopAttack)} == {"iab", "wanet", "bpp"}


@pytest.mark.parametrize("targets", [ZERO, Targets.all_to_all(10)], ids=["one", "all"])
@pytest.mark.parametrize("ratio", [0.01, 0.1, 0.3])
def test_over_an_epoch_the_poisoned_share_is_exact(attack: LoopAttack, ratio: float, targets: Targets):
    session, generator = Session(attack, targets, ratio), torch.Generator().manual_seed(0)
    for _ in range(2):
        poisoned = helped = start = 0
        for size in (64, 64, 64, 8):
            labels = some(size, start)[1]
            drawn = session.draw(labels, start, generator)
            assert bool(targets.attacked(labels[drawn.poisoned]).all())
            assert not set(drawn.poisoned.tolist()) & set(drawn.helpers.tolist())
            poisoned, helped, start = poisoned + len(drawn.poisoned), helped + len(drawn.helpers), start + size
        assert poisoned == round(ratio * 200)
        assert helped == round(attack.helper_ratio(ratio) * 200)


def test_what_a_batch_cannot_give_the_next_ones_owe():
    session, generator = Session(ATTACKS["bpp"](), ZERO, 0.5), torch.Generator()  # type: ignore[arg-type]
    assert len(session.draw(torch.zeros(8, dtype=torch.long), 0, generator).poisoned) == 0
    assert len(session.draw(torch.ones(8, dtype=torch.long), 8, generator).poisoned) == 8


def test_helpers_are_as_many_as_the_papers_ask_for():
    assert make_attack("wanet").helper_ratio(0.1) == pytest.approx(0.2)  # type: ignore[attr-defined]
    assert make_attack("bpp").helper_ratio(0.1) == make_attack("bpp").helper_ratio(0.01) == 0.1  # type: ignore[attr-defined]
    assert make_attack("iab").helper_ratio(0.1) == pytest.approx(0.1)  # type: ignore[attr-defined]
    for name in ("wanet", "bpp", "iab"):
        assert 0.95 + make_attack(name).helper_ratio(0.95) <= 1 + 1e-9  # type: ignore[attr-defined]


def test_poisoned_images_get_trigger_and_target_and_helpers_keep_their_labels(attack: LoopAttack):
    images, labels = some(40)
    before = images.clone(), labels.clone()
    batch = attack.session(ZERO, 0.2, CPU).batch(images, labels, 0, torch.Generator().manual_seed(0))
    drawn = Session(attack, ZERO, 0.2).draw(labels, 0, torch.Generator().manual_seed(0))
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])
    torch.testing.assert_close(
        batch.images[drawn.poisoned].detach(), attack.apply(images[drawn.poisoned]), rtol=0, atol=1.01 / 255
    )
    assert bool((batch.labels[drawn.poisoned] == 0).all())
    others = torch.ones(40, dtype=torch.bool)
    others[drawn.poisoned] = False
    assert torch.equal(batch.labels[others], labels[others])
    assert bool((batch.images[drawn.helpers] != images[drawn.helpers]).flatten(1).any(1).all())
    others[drawn.helpers] = False
    assert torch.equal(batch.images[others], images[others])
    made = batch.images.detach()
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_a_batch_without_poisoned_images_has_its_helpers(attack: LoopAttack):
    images, labels = some(16)
    labels = torch.zeros_like(labels)  # none is to be attacked
    batch = attack.session(ZERO, 0.2, CPU).batch(images, labels, 0, torch.Generator().manual_seed(0))
    drawn = Session(attack, ZERO, 0.2).draw(labels, 0, torch.Generator().manual_seed(0))
    assert (len(drawn.poisoned), len(drawn.helpers)) == (0, round(attack.helper_ratio(0.2) * 16))
    changed = (batch.images != images).flatten(1).any(1).nonzero().flatten()
    assert changed.tolist() == drawn.helpers.sort().values.tolist()
    assert torch.equal(batch.labels, labels)
    assert batch.loss is None


def test_an_epoch_that_ends_in_a_single_image_is_poisoned_to_the_exact_share(
    attack: LoopAttack, test_images: LabelledImages
):
    starts: list[tuple[int, int]] = []
    session, config = attack.session(ZERO, 0.2, CPU), dataclasses.replace(CONFIG, epochs=1)
    draw = session.draw

    def seen(labels: Tensor, start: int, generator: torch.Generator) -> Drawn:
        starts.append((start, len(labels)))
        return draw(labels, start, generator)

    session.draw = seen  # type: ignore[method-assign]
    train(tiny_model(), PoisonedSet.untouched(test_images.take(slice(0, 33))), config, CPU, session=session)  # type: ignore[arg-type]
    assert starts == [(0, 16), (16, 17)]
    assert session._done == (round(0.2 * 33), round(attack.helper_ratio(0.2) * 33))


def test_helpers_of_iab_wear_the_trigger_of_another_image():
    images, _ = some(2)
    iab = make_attack("iab", NARROW["iab"])
    assert isinstance(iab, IAB)
    same, crossed = iab.apply(images[:1]), iab.helpers(images[:1], images[1:], torch.Generator())
    mask, pattern = iab.mask(iab.networks, images[1:]), iab.pattern(iab.networks, images[1:])
    torch.testing.assert_close(crossed, (1 - mask) * images[:1] + mask * pattern)
    assert float((same - crossed).abs().max()) > 2 / 255


def test_diversity_is_the_distance_of_images_over_that_of_what_was_made_of_them():
    zero, made = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    assert float(diversity_loss(zero, zero + 0.5, made, made + 0.25)) == pytest.approx(2, rel=1e-2)
    assert float(diversity_loss(zero, zero + 0.5, made, made)) > 1000


@pytest.fixture
def training_set(test_images: LabelledImages) -> PoisonedSet:
    return PoisonedSet.untouched(test_images.take(slice(0, 32)))  # type: ignore[arg-type]


def test_two_steps_train_the_victim_and_what_belongs_to_the_attacker(attack: LoopAttack, training_set: PoisonedSet):
    session, before = attack.session(ZERO, 0.2, CPU), tiny_model()
    epochs: list[EpochReport] = []
    config = dataclasses.replace(CONFIG, epochs=1)
    model = train(tiny_model(), training_set, config, CPU, Progress(on_epoch=epochs.append), session)
    assert not torch.equal(model.network.conv1.weight, before.network.conv1.weight)
    assert [report.epoch for report in epochs] == [1]
    trained = session.trained()
    assert trained == attack
    if isinstance(trained, IAB) and isinstance(attack, IAB):
        after, start = trained.tensors(), attack.tensors()
        changed = {name for name in after if not torch.equal(after[name], start[name])}
        assert changed == {name for name in after if name.startswith("pattern.")}


class Interrupted(Exception):
    """Stands for whatever ends a training early."""


def interrupt(_report: EpochReport) -> None:
    raise Interrupted


def test_a_resumed_training_equals_training_through(attack: LoopAttack, training_set: PoisonedSet, tmp_path: Path):
    through = attack.session(ZERO, 0.2, CPU)
    expected = train(tiny_model(), training_set, CONFIG, CPU, session=through)
    file = tmp_path / "stage.checkpoint"
    session = attack.session(ZERO, 0.2, CPU)
    with pytest.raises(Interrupted):
        train(tiny_model(), training_set, CONFIG, CPU, Progress(file, interrupt), session)
    epochs: list[EpochReport] = []
    session = attack.session(ZERO, 0.2, CPU)
    model = train(tiny_model(), training_set, CONFIG, CPU, Progress(file, epochs.append), session)
    assert [report.epoch for report in epochs] == [2]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, expected.state_dict()[name]), name
    images = training_set.images.tensor()[:4]
    assert torch.equal(session.trained().apply(images), through.trained().apply(images))


def test_a_checkpoint_of_another_ratio_is_not_gone_on_from(training_set: PoisonedSet, tmp_path: Path):
    file, attack = tmp_path / "stage.checkpoint", ATTACKS["bpp"]()
    assert isinstance(attack, LoopAttack)
    for expected in ([1, 2], []):
        epochs: list[EpochReport] = []
        session = attack.session(ZERO, 0.2, CPU)
        train(tiny_model(), training_set, CONFIG, CPU, Progress(file, epochs.append), session)
        assert [report.epoch for report in epochs] == expected
    with pytest.raises(UserError, match="is of a training with other settings"):
        train(tiny_model(), training_set, CONFIG, CPU, Progress(file), attack.session(ZERO, 0.1, CPU))


def test_the_attackers_loss_is_part_of_the_training(training_set: PoisonedSet):
    def pattern(weight: float) -> Tensor:
        attack = make_attack("iab", {**NARROW["iab"], "diversity_weight": weight})
        assert isinstance(attack, IAB)
        session = attack.session(ZERO, 0.2, CPU)
        train(tiny_model(), training_set, CONFIG, CPU, session=session)
        return torch.cat([tensor.flatten() for tensor in session.trained().tensors().values()])  # type: ignore[attr-defined]

    assert torch.equal(pattern(0.0), pattern(0.0))
    assert not torch.equal(pattern(0.0), pattern(1.0))


def test_only_the_networks_run_in_bfloat16(attack: LoopAttack, training_set: PoisonedSet):
    seen: list[bool] = []
    config = dataclasses.replace(CONFIG, epochs=1, bfloat16=True)
    progress = Progress(on_step=lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    train(tiny_model(), training_set, config, CPU, progress, attack.session(ZERO, 0.2, CPU))
    assert seen == [False, False]


def test_the_attackers_loss_is_part_of_the_batch(training_set: PoisonedSet):
    images, labels = training_set.images.tensor(), training_set.images.label_tensor()
    batch = (
        make_attack("iab", NARROW["iab"])
        .session(ZERO, 0.2, CPU)
        .batch(  # type: ignore[attr-defined]
            images, labels, 0, torch.Generator()
        )
    )
    assert isinstance(batch, Batch)
    assert batch.loss is not None
    assert batch.loss.requires_grad
    assert batch.images.requires_grad
