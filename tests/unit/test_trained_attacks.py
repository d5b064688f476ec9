"""Attacks with networks of their own: trained, stored beside the victim, and the same pixels when read again."""

import dataclasses
import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from invmask.attacks.base import EpochReport, Progress, TrainedAttack
from invmask.attacks.registry import ATTACKS, make_attack
from invmask.attacks.training.train_victim import TrainingConfig
from invmask.attacks.triggers.iab import IAB
from invmask.attacks.triggers.ssba import SSBA
from invmask.augmentation import augment
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.victims import make
from invmask.victims.make import Plan
from invmask.victims.recipe import Stage
from invmask.victims.victim import load_victim, measure

CPU = torch.device("cpu")
SMALL = {"width": 4, "prepare_epochs": 1}
TRAINED = sorted(name for name, kind in ATTACKS.items() if issubclass(kind, TrainedAttack))


@pytest.fixture(params=TRAINED)
def attack(request: pytest.FixtureRequest) -> TrainedAttack:
    found = make_attack(request.param, SMALL)
    assert isinstance(found, TrainedAttack)
    return found


def test_those_that_need_networks_are_there():
    assert TRAINED == ["iab", "ssba"]


def assert_same(first: TrainedAttack, second: TrainedAttack) -> None:
    theirs = second.tensors()
    for name, tensor in first.tensors().items():
        assert torch.equal(tensor, theirs[name]), name


class Interrupted(Exception):
    """Stands for whatever ends a training early."""


def interrupt(_report: EpochReport) -> None:
    raise Interrupted


def test_preparing_trains_the_networks_and_goes_on_where_it_was_interrupted(
    attack: TrainedAttack, test_images: LabelledImages, tmp_path: Path
):
    attack, file = dataclasses.replace(attack, prepare_epochs=2), tmp_path / "trigger.checkpoint"
    before = {name: tensor.clone() for name, tensor in attack.tensors().items()}
    through = attack.prepare(test_images, CPU, False, Progress())
    with pytest.raises(Interrupted):
        attack.prepare(test_images, CPU, False, Progress(file, interrupt))
    epochs: list[EpochReport] = []
    resumed = attack.prepare(test_images, CPU, False, Progress(file, epochs.append))
    assert [report.epoch for report in epochs] == [2]
    assert_same(resumed, through)
    assert through == attack
    assert any(not torch.equal(tensor, before[name]) for name, tensor in through.tensors().items())
    for name, tensor in attack.tensors().items():
        assert torch.equal(tensor, before[name]), name


def test_the_networks_are_for_the_images_of_the_data_set(attack: TrainedAttack):
    grey = attack.suited_to((1, 28, 28))
    assert grey.settings()["channels"] == 1
    assert grey.apply(torch.rand(2, 1, 28, 28)).shape == (2, 1, 28, 28)
    assert attack.suited_to((3, 64, 64)) is attack


def test_the_mask_of_iab_ends_sparse_and_unlike_from_image_to_image(test_images: LabelledImages):
    iab = make_attack("iab", {"width": 8, "prepare_epochs": 20})
    assert isinstance(iab, IAB)
    images = test_images.tensor()
    assert float(iab.mask(iab.networks, images).mean()) > 0.2
    trained = iab.prepare(test_images, CPU, False, Progress())
    masks = trained.mask(trained.networks, images)
    assert 0.005 < float(masks.mean()) < 3 * iab.density
    assert float(masks.std(0).mean()) > 0.02
    changed = (trained.apply(images) != images).float().mean()
    assert float(changed) < 0.5


@pytest.mark.parametrize("strength", [8 / 255, 2 / 255])
def test_ssba_keeps_its_bound_whatever_its_encoder_does(strength: float, test_images: LabelledImages):
    ssba = make_attack("ssba", {**SMALL, "strength": strength})
    wild = ssba.with_tensors({name: 50 * tensor for name, tensor in ssba.tensors().items()})  # type: ignore[attr-defined]
    images = test_images.tensor()
    change = wild.apply(images) - images
    assert float(change.abs().max()) <= strength + 0.5 / 255
    psnr = -10 * change.square().flatten(1).mean(1).log10()
    assert float(psnr.min()) >= -20 * torch.tensor(strength + 0.5 / 255).log10()
    # Another change for every image.
    assert float((change[1:] - change[:-1]).abs().flatten(1).amax(1).min()) > 0.5 * strength


def test_ssba_learns_to_hide_its_string(test_images: LabelledImages):
    ssba = make_attack("ssba", {"width": 8, "bits": 2, "strength": 0.2, "image_weight": 0.0, "prepare_epochs": 25})
    assert isinstance(ssba, SSBA)
    trained = ssba.prepare(test_images, CPU, False, Progress())
    images = test_images.tensor()
    assert float(trained.bit_accuracy(trained.apply(images)).mean()) > 0.9
    assert float(trained.bit_accuracy(images).mean()) < 0.9
    # As a victim in training sees them: elsewhere, mirrored and not quite clean.
    generator = torch.Generator().manual_seed(3)
    seen = augment(trained.apply(images), generator, padding=4, flip=True)
    seen = seen + trained.noise * torch.randn(seen.shape, generator=generator)
    assert float(trained.bit_accuracy(seen).mean()) > 0.9


@pytest.fixture
def small_cifar10(monkeypatch: pytest.MonkeyPatch, test_images: LabelledImages) -> LabelledImages:
    monkeypatch.setattr(make, "load_dataset", lambda *_, **__: test_images)
    return test_images


def make_small(attack: str, folder: Path, **changes: str) -> make.VictimCard:
    settings = SMALL if attack in TRAINED else {}
    plan = Plan("cifar10", "preactresnet18w2", attack, settings=settings, **changes)  # type: ignore[arg-type]
    return make.make_victim(plan, [Stage(TrainingConfig(epochs=1, batch_size=50))], folder, folder)


def test_a_victim_comes_with_its_networks_and_the_same_pixels(
    attack: TrainedAttack, small_cifar10: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    applied: list[TrainedAttack] = []
    real = make.save_victim
    monkeypatch.setattr(make, "save_victim", lambda *given: applied.append(given[3]) or real(*given))
    card = make_small(attack.name, tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    stored = {f"{card.name}{end}" for end in (".json", ".safetensors", ".trigger.safetensors")}
    # The lock of a training stays.
    assert files == stored | {f".{card.name}.lock"}
    victim = load_victim(card.name, [tmp_path])
    assert victim.card == card
    assert victim.card.trigger_file["file"] == f"{card.name}.trigger.safetensors"
    assert card.training["trigger"]["epochs"] == 1
    again, images = victim.card.make_attack(), small_cifar10.tensor()
    assert isinstance(again, TrainedAttack)
    assert_same(again, applied[0])
    assert torch.equal(again.apply(images), applied[0].apply(images))
    assert not torch.equal(again.apply(images), make_attack(attack.name, SMALL).apply(images))
    measured = measure(victim.model, small_cifar10, again, card.targets)
    assert (measured.acc, measured.asr, measured.ra) == (card.acc, card.asr, card.ra)


def test_a_victim_is_gone_on_with_wherever_it_was_interrupted(
    attack: TrainedAttack, small_cifar10: LabelledImages, tmp_path: Path
):
    plan = Plan("cifar10", "preactresnet18w2", attack.name, settings=SMALL)
    stages = [Stage(TrainingConfig(epochs=1, batch_size=50, seed=seed)) for seed in (0, 1)]
    through = make.make_victim(plan, stages, tmp_path, tmp_path / "through")
    resumed: list[int] = []
    watched = Progress(on_resume=resumed.append, on_epoch=interrupt)
    for _ in range(3):
        with pytest.raises(Interrupted):
            make.make_victim(plan, stages, tmp_path, tmp_path / "pieces", watched=watched)
    card = make.make_victim(plan, stages, tmp_path, tmp_path / "pieces", watched=watched)
    # Of the trigger's one epoch and the two stages' each, what lay behind: none, one, two and three.
    assert resumed == [1, 1, 1, 1, 1, 1]
    images = small_cifar10.tensor()
    first, second = through.make_attack(), card.make_attack()
    assert first is not None
    assert second is not None
    assert torch.equal(first.apply(images), second.apply(images))
    assert (card.acc, card.asr, card.trigger_file) == (through.acc, through.asr, through.trigger_file)


def test_reading_networks_draws_no_random_numbers(attack: TrainedAttack):
    tensors = attack.tensors()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    attack.with_tensors(tensors)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("kind", ["missing", "pickle", "other digest", "other networks", "elsewhere", "not named"])
@pytest.mark.usefixtures("small_cifar10")
def test_networks_that_do_not_belong_to_the_card_are_refused(kind: str, tmp_path: Path):
    card = make_small("ssba", tmp_path)
    file, path = tmp_path / card.trigger_file["file"], tmp_path / f"{card.name}.json"
    content = json.loads(path.read_text())
    if kind == "missing":
        file.unlink()
    elif kind == "pickle":
        file.write_bytes(pickle.dumps({"plane.weight": 1}))
        content["trigger_file"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    elif kind == "other digest":
        save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    elif kind == "other networks":
        content["attack_settings"]["width"] = 8
    elif kind == "elsewhere":
        content["trigger_file"]["file"] = f"../{tmp_path.name}/{file.name}"
    else:
        content["trigger_file"] = {}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"(networks of SSBA|where the networks)"):
        load_victim(card.name, [tmp_path])


@pytest.mark.usefixtures("small_cifar10")
def test_a_folder_named_in_a_card_means_nothing(tmp_path: Path):
    card = make_small("ssba", tmp_path)
    path = tmp_path / f"{card.name}.json"
    assert "folder" not in json.loads(path.read_text())
    path.write_text(json.dumps({**json.loads(path.read_text()), "folder": "/"}))
    assert load_victim(card.name, [tmp_path]).card.folder == tmp_path


@pytest.mark.parametrize(
    ("attack", "labels"), [("badnets", "all-to-all"), ("bpp", "all-to-all"), ("sig", "clean-label")]
)
def test_other_labels_make_victims_of_their_own(
    attack: str, labels: str, small_cifar10: LabelledImages, tmp_path: Path
):
    card = make_small(attack, tmp_path, labels=labels)
    assert card.name.endswith(f"-{labels.replace('-', '_')}")
    assert card.labels == labels
    assert (card.target_label is None) == (labels == "all-to-all")
    victim = load_victim(card.name, [tmp_path])
    measured = measure(victim.model, small_cifar10, victim.card.make_attack(), victim.card.targets)
    assert measured.n_triggered == (100 if labels == "all-to-all" else int((small_cifar10.labels != 0).sum()))
    assert (measured.acc, measured.asr) == (card.acc, card.asr)


def test_labels_that_an_attack_does_not_have_are_refused():
    with pytest.raises(UserError, match="WaNet can label what it poisons all-to-one or all-to-all only"):
        Plan("cifar10", "preactresnet18w2", "wanet", labels="clean-label").make_attack()
