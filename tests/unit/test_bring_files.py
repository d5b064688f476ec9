"""From a stranger's file and a folder of pictures to a victim, and back to a file of the stranger's own form."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from invmask import settings
from invmask.cli import main
from invmask.defenses.verdict import LIKELY
from invmask.errors import UserError
from invmask.exports.model import onnx_model, read_weights, write_onnx, write_weights
from invmask.exports.source import take_masks
from invmask.masks.repair import Gates
from invmask.masks.state import Masks, View
from invmask.models.weight_files import EntryNeeded
from invmask.runs.store.bringings import BringingStore, Status
from invmask.runs.work.advance import Outcome
from invmask.runs.work.bring_model import AT_WORK, bring_model
from invmask.victims.bring import Brought
from invmask.victims.bring_files import Request, bring_files, read_list
from invmask.victims.unlike import unlike, warning
from tests.unit.own_models import known_victim, some_images
from tests.unit.run_helpers import small_spec, taken

MINE = """
from torch import nn


class Mine(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 5, stride=4)
        self.fc = nn.Linear(6, num_classes)

    def forward(self, x):
        features = self.conv(x).relu_().mean((2, 3))
        return {"logits": self.fc(features).softmax(1)}
"""


def network() -> nn.Module:
    return known_victim().model.network  # type: ignore[return-value]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of classes, with a folder beside them that is none."""
    images, names = some_images(8), known_victim().card.dataset_info.classes
    for place, (pixels, label) in enumerate(zip(images.pixels, images.labels, strict=True)):
        folder = tmp_path / "pictures" / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(folder / f"{place}.png")
    (tmp_path / "pictures" / ".ipynb_checkpoints").mkdir()
    return tmp_path / "pictures"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """As a training program on several accelerators stores them."""
    state = {f"module.{name}": tensor for name, tensor in network().state_dict().items()}
    torch.save({"net": state, "acc": 95.1, "epoch": 199}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


class Stranger(nn.Module):
    """Somebody's own class: the same network under other names."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_a_checkpoint_and_a_folder_become_a_victim(weights: Path, pictures: Path):
    victim = bring_files(Request(str(weights), str(pictures)))
    card, info = victim.card, victim.card.dataset_info
    assert (card.architecture, info.shape, card.is_unknown) == ("cnn4", (1, 28, 28), True)
    known = known_victim()
    assert info.classes == known.card.dataset_info.classes
    images = some_images().tensor()
    torch.testing.assert_close(victim.model(images).argmax(1), known.model(images).argmax(1))
    brought = Brought.of(card)
    assert brought is not None
    assert brought.file == "net.pth"
    assert all(theirs == f"module.{ours}" for ours, theirs in brought.names.items())
    assert unlike(card, victim.model, 100, 10) == ()


def test_the_repaired_file_loads_into_the_users_own_class_and_answers_alike(tmp_path: Path, pictures: Path):
    stranger = Stranger().eval()
    torch.save(stranger.state_dict(), tmp_path / "own.pt")
    victim = bring_files(Request(str(tmp_path / "own.pt"), str(pictures)))
    run = taken(settings.home(), small_spec(victim.card.name), 1)
    # A few rounds cut nothing yet: every third channel is cut by hand.
    source = take_masks(run)
    mask = (torch.arange(source.layout.channels) % 3 > 0).float()
    source = replace(source, repair=Gates(Masks(mask, torch.zeros_like(mask))))
    assert write_weights(tmp_path / "repaired.safetensors", source, View.PRUNED).holds
    repaired = load_file(tmp_path / "repaired.safetensors")
    assert repaired.keys() == stranger.state_dict().keys()
    assert any(not torch.equal(repaired[name], tensor) for name, tensor in stranger.state_dict().items())
    again = Stranger().eval()
    again.load_state_dict(repaired)
    images, info = some_images().tensor(), victim.card.dataset_info
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (info.mean, info.std))
    model, _ = source.parts(View.PRUNED)
    with torch.no_grad():
        expected = read_weights(tmp_path / "repaired.safetensors").run(images)
        torch.testing.assert_close(again((images - mean) / std), expected)
        assert not torch.allclose(model(images), expected)
    assert write_onnx(tmp_path / "repaired.onnx", source, View.PRUNED).holds
    torch.testing.assert_close(onnx_model(tmp_path / "repaired.onnx")(images), expected, atol=1e-3, rtol=1e-3)


def test_a_class_of_ones_own_is_run_only_if_it_is_named(tmp_path: Path, pictures: Path):
    code = tmp_path / "mine.py"
    code.write_text(MINE)
    torch.manual_seed(0)
    state = {
        "conv.weight": torch.randn(6, 1, 5, 5),
        "conv.bias": torch.randn(6),
        "fc.weight": 3 * torch.randn(10, 6),
        "fc.bias": torch.zeros(10),
    }
    torch.save(state, tmp_path / "mine.pt")
    with pytest.raises(UserError, match=r"Name the architecture|architecture known"):
        bring_files(Request(str(tmp_path / "mine.pt"), str(pictures)))
    request = Request(str(tmp_path / "mine.pt"), str(pictures), code=f"{code}:Mine", anyway=True)
    victim = bring_files(request)
    assert victim.card.reading == "logits|log"
    brought = Brought.of(victim.card)
    assert brought is not None
    assert any("softmax" in note for note in brought.notes)
    run = taken(settings.home(), small_spec(victim.card.name), 2)
    write_weights(tmp_path / "repaired.safetensors", take_masks(run), View.PRUNED)
    assert load_file(tmp_path / "repaired.safetensors").keys() == state.keys()


def test_a_named_architecture_may_have_other_names_in_the_file(tmp_path: Path, pictures: Path):
    torch.save({name.replace("linear", "fc"): each for name, each in network().state_dict().items()}, tmp_path / "a.pt")
    named = Request(str(tmp_path / "a.pt"), str(pictures), architecture=known_victim().card.architecture)
    brought = Brought.of(bring_files(named).card)
    assert brought is not None
    assert brought.names["linear.bias"] == "fc.bias"


def test_a_normalisation_inside_the_file_is_used(tmp_path: Path, pictures: Path):
    state = {f"1.{name}": tensor for name, tensor in network().state_dict().items()}
    state |= {"0.mean": torch.tensor([0.25]), "0.std": torch.tensor([0.375])}
    torch.save(state, tmp_path / "inside.pt")
    victim = bring_files(Request(str(tmp_path / "inside.pt"), str(pictures), anyway=True))
    assert (victim.model.mean.flatten().tolist(), victim.model.std.flatten().tolist()) == ([0.25], [0.375])
    brought = Brought.of(victim.card)
    assert brought is not None
    assert "The file holds a normalisation of its own, in 0.mean and 0.std." in brought.notes


def test_several_networks_in_a_file_are_asked_about(tmp_path: Path, pictures: Path):
    state = network().state_dict()
    average = {name: tensor.clone() for name, tensor in state.items()}
    torch.save({"model": state, "ema": average}, tmp_path / "two.pth")
    with pytest.raises(EntryNeeded) as error:
        bring_files(Request(str(tmp_path / "two.pth"), str(pictures)))
    assert len(error.value.entries) == 2
    victim = bring_files(Request(str(tmp_path / "two.pth"), str(pictures), entry=error.value.entries[0]))
    assert victim.card.architecture == "cnn4"


def test_a_request_is_carried_out_by_a_worker_and_its_uploads_are_removed(weights: Path, pictures: Path):
    store = BringingStore(settings.home())
    bringing = store.new()
    (bringing.path / "weights").mkdir()
    copy = bringing.path / "weights" / "net.pth"
    copy.write_bytes(weights.read_bytes())
    bringing.ask(Request(str(copy), str(pictures)))
    assert [each.id for each in store.marked()] == [bringing.id]
    assert bring_model(bringing.path) is Outcome.IDLE
    status = bringing.status()
    assert status is not None
    assert status.victim is not None
    assert not bringing.has_work()
    assert not copy.exists()
    # A worker that was killed over it does not try for ever.
    bringing.ask(Request(str(copy), str(pictures)))
    (bringing.path / AT_WORK).touch()
    bring_model(bringing.path)
    found = bringing.status()
    assert found is not None
    assert "was killed" in found.message
    bringing.ask(Request(str(copy), str(pictures)))
    bring_model(bringing.path)
    assert bringing.status() == Status(message=f"There is no file {copy}; check its name.")
    assert store.bringing("../x") is None


def test_check_says_likely_backdoored_by_its_status_and_as_json(
    weights: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "fixed.safetensors"
    status = main(["check", str(weights), "--images", str(pictures), "--json", "--out", str(out), "--spc", "4"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert status == 4
    assert found["verdict"]["word"] == LIKELY
    assert found["verdict"]["label"] == found["synthesized"]["label"] == known_victim().card.target_label
    assert found["acc"] > 0.7
    assert found["agreement"] is None
    assert "40 clean images, not 10 of each" in found["warning"]
    assert load_file(out).keys() == {f"module.{name}" for name in network().state_dict()}
    assert "Classes are matched by the names of Fashion-MNIST" in printed.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", "x.pt"], "has to end in"),
        (["--mean", "0.5"], "belong together"),
        (["--size", "big"], "height x width"),
        (["--architecture", "resnet20"], "belong to another network"),
        (["--code", "nowhere.py:Net"], "cannot be read"),
    ],
)
def test_check_fails_in_one_sentence(
    weights: Path, pictures: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["check", str(weights), "--images", str(pictures), *more]) == 2
    assert said in capsys.readouterr().err


def test_names_of_outputs_come_from_lines_or_a_list(tmp_path: Path):
    (tmp_path / "names.txt").write_text("cat\n\n dog \n")
    (tmp_path / "names.json").write_text('["cat", "dog"]')
    assert read_list(tmp_path / "names.txt") == read_list(tmp_path / "names.json") == ("cat", "dog")
    (tmp_path / "none.txt").write_text("\n")
    for name in ("none.txt", "missing.txt"):
        with pytest.raises(UserError, match="a name a line"):
            read_list(tmp_path / name)


def test_what_is_unlike_the_zoo_is_warned_of(weights: Path, pictures: Path):
    victim = bring_files(Request(str(weights), str(pictures)))
    large = nn.Linear(1000, 1000)
    said = warning(unlike(victim.card, large, 20, 2))
    assert said is not None
    assert "1,001,000 parameters and the search had 20 clean images" in said
    assert warning(()) is None


def test_a_request_survives_json():
    request = Request("a", "b", mean=(0.5,), size=(8, 9), listed=("x",), layers=("conv",))
    assert Request.from_json(json.loads(json.dumps(request.as_json()))) == request
    with pytest.raises(UserError, match="no request"):
        Request.from_json({"weights": "a"})
