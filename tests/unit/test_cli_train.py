"""`train` and `data`, with the training itself left out: it has tests of its own and takes most of an hour."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from invmask import settings
from invmask.attacks.base import EpochReport
from invmask.attacks.registry import ATTACKS
from invmask.attacks.triggers.picture import PictureTrigger, picture_settings
from invmask.cli import main, train
from invmask.data.embedded import write_part
from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.models import suited_precision
from invmask.victims.make import Plan
from invmask.victims.recipe import default_recipe, recipe_of
from invmask.victims.victim import VictimCard, read_card
from tests.unit.run_helpers import VICTIM, write_victims

NARROW = "preactresnet18w2"


@pytest.fixture
def asked(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `make_victim` was asked for, after a command ran."""
    write_victims(own_home / "victims")
    monkeypatch.setenv("INVMASK_THREADS", "1")
    seen: dict[str, Any] = {}

    def make_victim(plan, stages, data_root, folder, device, watched):
        seen.update(
            plan=plan,
            name=plan.name,
            ratio=plan.poisoning_ratio,
            target=plan.target_label,
            stages=stages,
            data=data_root,
            out=folder,
            device=device,
            threads=torch.get_num_threads(),
        )
        watched.on_resume(5)
        for step in (1, 2):
            watched.on_step(step, 2)
        watched.on_epoch(EpochReport(6, 2.0, 0.25))
        return replace(read_card(own_home / "victims" / f"{VICTIM}.json"), name=seen["name"])

    monkeypatch.setattr(train, "make_victim", make_victim)
    return seen


def test_an_attack_alone_means_the_embedded_victim_by_the_recipe(
    asked: dict[str, Any], own_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("invmask.settings.ASSETS", own_home / "nothing")
    assert main(["train", "badnets", "--precision", "float32", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["name"] == "cifar10-preactresnet18w16-badnets"
    assert asked["stages"] == recipe_of("badnets", "preactresnet18w16")
    assert (asked["ratio"], asked["target"], asked["device"]) == (0.1, 0, "cpu")
    assert asked["data"] == own_home / "data"
    assert asked["out"] == own_home / "victims"
    assert "epoch 6 of 40:" in err
    assert "after epoch 6: loss 2.000, training ACC 25.0 %" in err
    assert str(own_home / "victims") in err


def test_what_is_asked_for_goes_first(asked: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = "--epochs 8 --ratio 0.05 --target 3 --seed 7 --precision bfloat16 --threads 1 --out"
    assert main(["train", "cifar10-preactresnet18w8-sig", *arguments.split(), str(tmp_path)]) == 0
    configs = [stage.config for stage in asked["stages"]]
    assert [config.epochs for config in configs] == [4, 2, 2]
    assert [config.seed for config in configs] == [7, 8, 9]
    assert configs[0].bfloat16
    assert (asked["ratio"], asked["target"], asked["out"], asked["threads"]) == (0.05, 3, tmp_path, 1)
    assert "sig" in capsys.readouterr().out


def test_an_attack_by_name_with_settings_of_ones_own(asked: dict[str, Any], tmp_path: Path):
    arguments = "--attack wanet --architecture preactresnet18w8 --labels all-to-all --set strength=0.75 --set seed=4"
    assert main(["train", *arguments.split(), "--name", "strong"]) == 0
    plan = asked["plan"]
    assert asked["name"] == "strong"
    assert plan.settings == {"strength": 0.75, "seed": 4}
    assert asked["stages"] == train.stages_of(plan, None, None, suited_precision(plan.architecture))
    Image.new("RGBA", (4, 4), "red").save(tmp_path / "red.png")
    arguments = f"--attack picture --picture {tmp_path / 'red.png'} --set opacity=0.5 --name red_square"
    assert main(["train", *arguments.split()]) == 0
    assert asked["name"] == "red_square"
    assert asked["plan"].make_attack() == PictureTrigger(**picture_settings(tmp_path / "red.png"), opacity=0.5)


def test_clean_labels_poison_half_of_the_target_class_unless_told_otherwise(asked: dict[str, Any]):
    assert main(["train", "sig", "--labels", "clean-label"]) == 0
    assert (asked["name"], asked["ratio"]) == ("cifar10-preactresnet18w16-sig-p5-clean_label", 0.05)
    assert main(["train", "sig", "--labels", "clean-label", "--ratio", "0.02"]) == 0
    assert asked["ratio"] == 0.02


def test_settings_of_a_card_are_kept_when_it_is_made_again(asked: dict[str, Any], own_home: Path):
    path = own_home / "victims" / f"{VICTIM}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "attack_settings": {"size": 5, "value": 0.5}}))
    assert main(["train", VICTIM]) == 0
    assert asked["plan"].settings == {"size": 5, "value": 0.5}
    assert main(["train", VICTIM, "--set", "value=0.5"]) == 0
    assert asked["plan"].settings == {"size": 5, "value": 0.5}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["badnets"], "is in .*victims already, which is looked in first"),
        ([VICTIM, "--set", "value=0.25"], "Settings are not part of a victim's name"),
        (["cifar10-preactresnet18w2-wanet", "--set", "strength=0.75"], "Settings are not part of a victim's name"),
        (["--attack", "blended", "--name", VICTIM], f"has another victim '{VICTIM}'"),
        (["--attack", "badnets", "--architecture", "preactresnet18w2", "--target", "3", "--name", VICTIM], "another"),
        ([VICTIM, "--device", "gpu"], "A device is cpu, cuda or cuda:N, not 'gpu'"),
        ([VICTIM, "--device", "cuda:x"], "A device is cpu, cuda or cuda:N"),
        (["--attack", "ssba", "--name", "new", "--set", "width=6"], "from 4 to 128, a multiple of 4"),
        (["--attack", "clean", "--ratio", "0.05"], "A clean control has no backdoor: leave out --ratio"),
        (["--attack", "clean", "--labels", "all-to-all"], "A clean control has no backdoor: leave out --ratio"),
    ],
    ids=str,
)
def test_nothing_is_trained_that_would_not_be_found_or_would_take_anothers_place(
    asked: dict[str, Any], words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["train", *words]) == 2
    told = capsys.readouterr().err
    assert re.search(sentence, told)
    assert told.count("\n") == 1
    assert asked == {}


def test_a_victim_of_a_name_of_its_own_is_made_again_as_its_card_says(
    asked: dict[str, Any], own_home: Path, capsys: pytest.CaptureFixture[str]
):
    folder = own_home / "victims"
    card = json.loads((folder / f"{VICTIM}.json").read_text())
    own = {"name": "mine", "attack_settings": {"size": 5, "value": 1.0}, "poisoning_ratio": 0.02, "target_label": 3}
    (folder / "mine.json").write_text(json.dumps({**card, **own}))
    assert main(["train", "mine"]) == 0
    assert asked["plan"] == Plan(
        "cifar10", NARROW, "badnets", 0.02, 3, settings={"size": 5, "value": 1.0}, called="mine"
    )
    stages = [{**asdict(stage.config), "seconds": 1.0} for stage in default_recipe(seed=5, epochs=(3, 4))]
    (folder / "mine.json").write_text(json.dumps({**card, **own, "training": {"stages": stages}}))
    asked.clear()
    capsys.readouterr()
    assert main(["train", "mine", "--set", "value=0.5"]) == 2
    assert "has 'mine' with other settings; choose another --name" in capsys.readouterr().err
    assert asked == {}
    assert main(["train", "mine", "--epochs", "2"]) == 0
    assert "mine is in" in capsys.readouterr().err
    assert main(["train", "mine", "--name", "copy", "--set", "value=0.5"]) == 0
    assert (asked["name"], asked["ratio"]) == ("copy", 0.02)
    assert asked["plan"].settings == {"size": 5, "value": 0.5}
    assert [stage.config.epochs for stage in asked["stages"]] == [3, 4]
    assert main(["train", VICTIM]) == 0
    assert asked["plan"].called is None
    assert main(["train", "nobody-of-this-name"]) == 2


def test_elsewhere_an_embedded_victim_can_be_made_again(asked: dict[str, Any], tmp_path: Path):
    assert main(["train", "badnets", "--out", str(tmp_path)]) == 0
    assert asked["name"] == "cifar10-preactresnet18w16-badnets"
    assert main(["train", "badnets", "--out", str(settings.victim_folders()[0])]) == 0


def test_every_attack_has_a_recipe():
    for name in (*ATTACKS, "clean"):
        stages = recipe_of(name, NARROW)
        assert len(stages) == (2 if name == "clean" else 3)
        assert [stage.config.seed for stage in stages] == list(range(len(stages)))


def test_transformers_are_trained_with_adamw_in_one_cycle():
    for architecture in ("vit", "vitw64", "vitb16", "torchvision:swin_t"):
        (stage,) = recipe_of("badnets", architecture, seed=7)
        assert (stage.config.optimizer, stage.config.seed, stage.average) == ("adamw", 7, False)
    assert all(stage.config.optimizer == "sgd" for stage in recipe_of("badnets", "vgg19bnw16"))


def test_networks_without_normalisation_learn_in_smaller_steps():
    for architecture in ("vgg6", "vgg6w8", "torchvision:vgg16", "torchvision:alexnet"):
        for attack in ("badnets", "clean"):
            usual, gentler = (recipe_of(attack, name) for name in (NARROW, architecture))
            rates = [
                (one.config.learning_rate, other.config.learning_rate)
                for one, other in zip(usual, gentler, strict=True)
            ]
            assert all(other == pytest.approx(one / 4) for one, other in rates)
            assert [replace(stage, config=replace(stage.config, learning_rate=0)) for stage in usual] == [
                replace(stage, config=replace(stage.config, learning_rate=0)) for stage in gentler
            ]
    for architecture in ("vgg6bn", "torchvision:vgg16_bn"):
        assert recipe_of("badnets", architecture) == recipe_of("badnets", NARROW)


def test_a_victim_is_made_again_as_its_card_says(own_home: Path):
    write_victims(own_home / "victims")
    card = read_card(own_home / "victims" / f"{VICTIM}.json")
    first, second = default_recipe(seed=5, epochs=(3, 4))
    made_by = replace(first, poisoned=False), replace(second, average=True)
    how = [{"poisoned": stage.poisoned, "average": stage.average} for stage in made_by]
    stages = [{**asdict(stage.config), **made, "seconds": 1.0} for stage, made in zip(made_by, how, strict=True)]
    card = replace(card, training={"device": "cpu", "stages": stages})
    assert train.stages_of(card, None, None, "float32") == made_by
    assert [stage.config.epochs for stage in train.stages_of(card, 14, None, "float32")] == [6, 8]


@pytest.mark.parametrize("architecture", [NARROW, "vitw64"])
def test_a_card_that_names_one_momentum_is_read_as_it_was_trained(own_home: Path, architecture: str):
    write_victims(own_home / "victims")
    card = replace(read_card(own_home / "victims" / f"{VICTIM}.json"), architecture=architecture)
    stages = [asdict(stage.config) for stage in recipe_of(card.attack, architecture)]
    older = [{**stage, "momentum": 0.9} for stage in stages]
    for stage in older:
        del stage["least_momentum"]
    card = replace(card, training={"stages": older})
    read = [asdict(stage.config) for stage in train.stages_of(card, None, None, "float32")]
    assert read == stages
    # What a card of today says holds, whatever it is.
    card = replace(card, training={"stages": [{**stages[0], "momentum": 0.7, "least_momentum": 0.6}]})
    (stage,) = train.stages_of(card, None, None, "float32")
    assert (stage.config.momentum, stage.config.least_momentum) == (0.7, 0.6)


def test_an_older_card_without_stages_falls_back_on_the_recipe(own_home: Path):
    write_victims(own_home / "victims")
    card: VictimCard = read_card(own_home / "victims" / f"{VICTIM}.json")
    assert train.stages_of(card, None, None, "float32") == recipe_of("badnets", NARROW)


@pytest.mark.parametrize("attack", ["badnets", "wanet"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 32, 100])
def test_every_cycle_gets_an_epoch(epochs: int, attack: str):
    stages = train.stages_of(Plan("cifar10", NARROW, attack), epochs, None, "float32")
    assert sum(stage.config.epochs for stage in stages) == epochs
    assert all(stage.config.epochs >= 1 for stage in stages)


def test_names():
    embedded = ("cifar10", "preactresnet18w16")
    assert train.named("clean") == Plan(*embedded, "clean")
    assert train.named("cifar10-preactresnet18w8-blended") == Plan("cifar10", "preactresnet18w8", "blended")
    assert train.named("badnets-p5") == Plan(*embedded, "badnets", 0.05)
    for plan in (Plan(*embedded, "iab", 0.005, 3), Plan(*embedded, "sig", 0.05, 2, "clean-label")):
        assert train.named(plan.name) == plan
    assert train.named("bpp-all_to_all") == Plan(*embedded, "bpp", labels="all-to-all")
    for wrong in ("", "a-b", "a-b-c-d", "cifar10-preactresnet18w16-", "badnets-p0", "badnets-p101", "badnets-q"):
        with pytest.raises(UserError):
            train.named(wrong)


def test_data_prints_where_it_lies(own_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(train, "fetch_dataset", lambda name, root: root / f"{name}-sprites")
    monkeypatch.setattr(train, "prepare", lambda *_: pytest.fail("the images of CIFAR-10 come with invmask"))
    assert main(["data", "cifar10"]) == 0
    assert capsys.readouterr().out.strip() == str(own_home / "data" / "cifar10-sprites")


def test_data_draws_the_images_for_defences_once(own_home: Path, monkeypatch: pytest.MonkeyPatch):
    drawn = []
    monkeypatch.setattr(train, "fetch_dataset", lambda name, root: root / name)
    monkeypatch.setattr(train, "prepare", lambda name, root, folder: drawn.append((name, root, folder)))
    assert main(["data", "gtsrb"]) == 0
    folder = own_home / "data" / "prepared" / "gtsrb"
    assert drawn == [("gtsrb", own_home / "data", folder)]
    assert main(["data", "gtsrb"]) == 0
    assert len(drawn) == 2  # nothing came of the first
    images = LabelledImages(np.zeros((43, 32, 32, 3), np.uint8), np.arange(43))
    for part in ("budget", "test"):
        write_part(folder, part, images, np.arange(43), {})
    assert main(["data", "gtsrb"]) == 0
    assert len(drawn) == 2
