"""Every page on victims unlike the usual one: grey 28x28 images, a transformer, and 64x64 images of one's own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from invmask import settings
from invmask.cli import main
from invmask.data.budget import MAX_SPC
from invmask.data.embedded import drawn_files, embedded_folder
from invmask.data.prepare import prepare
from invmask.exports.book import entries_of
from invmask.exports.report import report
from invmask.frames.run_records import read_records
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.run import Run
from invmask.ui.defend import exercise
from invmask.ui.shell import cache
from invmask.victims.victim import VictimCard, new_model, save_victim
from tests.app.conftest import make_run, sentences, visit

VICTIMS = {
    "grey": ("fashionmnist", "cnn4w4"),
    "transformer": ("cifar10", "vitw32"),
    "large": ("folder:pets", "vgg6bnw2"),
}


@pytest.fixture(params=VICTIMS)
def run(request: pytest.FixtureRequest, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Three rounds on an untrained victim."""
    dataset, architecture = VICTIMS[request.param]
    if request.param == "large":
        pets(own_home / "data")
    folder, name = own_home / "victims", f"{dataset}-{architecture}-badnets"
    torch.manual_seed(2)
    model = new_model(dataset, architecture)
    if request.param == "transformer":
        # Torchvision begins with a head of zeros.
        torch.nn.init.normal_(model.network.heads.head.weight)
    save_victim(folder, VictimCard(name, dataset, architecture, "badnets", 0.1, 1, 0.1, 0.2, 0.1, 10_000), model)
    monkeypatch.setattr(settings, "victim_folders", lambda *_: [folder])
    return make_run(name, rounds=4)


def pets(data: Path) -> None:
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        for title in ("cat", "dog", "emu"):
            folder = data / "pets" / part / title
            folder.mkdir(parents=True)
            for number in range(3):
                Image.fromarray(generator.integers(0, 256, (70, 80, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    prepare("folder:pets", data, embedded_folder("folder:pets"))


def test_every_page_shows_it(run: Run):
    layers = run.layout().layers
    channel = f"{layers[-1].name.rpartition('.')[2]}:1"
    for page, more, heading in (
        ("start", {}, "A backdoor, on a real victim"),
        ("defend", {}, "The views, round 4"),
        ("flip", {"view": "pruned"}, "Flip the mask"),
        ("neurons", {}, "All channels"),
        ("neurons", {"channel": channel}, channel.replace(":", ", channel ")),
        ("tune", {}, "Threshold, round 4"),
        ("export", {}, "Report"),
    ):
        app = visit(page, victim=run.spec().victim, run=run.id, **more)
        assert not app.exception, (page, app.exception)
        assert not app.error, (page, [error.value for error in app.error])
        assert heading in [each.value for each in (*app.title, *app.subheader)], page


def test_the_published_preset_has_no_sparsity_weight_on_a_transformer(run: Run, capsys: pytest.CaptureFixture[str]):
    wanted = 0 if "vit" in run.spec().victim else 10
    app = visit("defend", victim=run.spec().victim)
    app.segmented_control(key="defend/preset").set_value("paper").run()
    assert app.slider(key="defend/set/ims/sparsity_weight").value == wanted
    assert "preset" not in app.slider(key="defend/set/ims/sparsity_weight").label
    app = visit("tune", victim=run.spec().victim, run=run.id, base="paper", values="3", seeds="0")
    next(button for button in app.button if "missing run" in button.label).click().run()
    (laid_out,) = [each.spec() for each in cache.store().runs() if each.spec().spc == 3]
    assert (laid_out.config.sparsity_weight, laid_out.preset) == (wanted, "paper")
    short = ["--spc", "1", "--rounds-max", "1", "--precision", "float32", "--json"]
    assert main(["defend", run.spec().victim, "--preset", "paper", *short]) == 0
    made = json.loads(capsys.readouterr().out)["run"]
    assert RunStore(run.path.parent).run(made).spec().config.sparsity_weight == wanted


def test_no_larger_budget_is_offered_than_the_data_set_has(run: Run):
    victim = run.spec().victim
    most = 3 if victim.startswith("folder:") else MAX_SPC
    app = visit("defend", victim=victim)
    slider = app.slider(key="defend/spc")
    assert (slider.max, slider.value) == (most, min(10, most))
    next(button for button in app.button if button.label == "Step").click().run()
    assert max(each.spec().spc for each in cache.store().runs()) == min(10, most)
    app = visit("tune", victim=victim, values="2~50")
    pills = app.button_group(key="tune-values-spc")
    assert pills.value == [2, min(50, most)]
    assert max(map(int, pills.options)) == most
    app.text_input(key="tune-more-spc").set_value(str(most + 1)).run()
    assert any(f"from 1 to {most}, not {most + 1}" in words for words in sentences(app))


@pytest.mark.usefixtures("tiny_victims")
def test_with_one_image_a_class_there_is_no_budget_to_choose(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exercise, "most_spc", lambda _: 1)
    app = visit("defend")
    assert not app.exception
    assert any("samples per class**: 1" in caption.value for caption in app.sidebar.caption)
    next(button for button in app.button if button.label == "Step").click().run()
    (made,) = cache.store().runs()
    assert made.spec().spc == 1


@pytest.mark.parametrize("run", ["large"], indirect=True)
def test_where_the_images_are_not_here_the_controls_are_all_the_same(run: Run):
    for path in drawn_files("folder:pets"):
        path.unlink()
    app = visit("defend", victim=run.spec().victim)
    assert not app.exception
    assert app.slider(key="defend/spc").max == MAX_SPC


def test_every_figure_and_the_report_are_drawn(run: Run):
    records = read_records(run)
    shape = records.victim.card.dataset_info.shape
    sides = set()
    for entry in entries_of(records):
        drawn = entry.draw(records, "light")
        assert drawn.data
        for trace in drawn.data:
            if trace.type == "image":
                pixels = np.asarray(trace.z)
                assert pixels.shape[2] == 3
                sides.add(pixels.shape[:2])
    assert shape[1:] in sides
    assert records.victim.card.name in report(records)
