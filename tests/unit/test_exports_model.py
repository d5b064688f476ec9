"""Exported models agree with the masked one on every embedded test image; a mask alone gives all views back."""

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from invmask import settings
from invmask.data.embedded import load_embedded
from invmask.errors import UserError
from invmask.exports import model as exported
from invmask.exports.mask_file import read_mask, write_mask
from invmask.exports.model_agreement import Agreement, compare
from invmask.exports.source import MaskSource, take_masks
from invmask.masks.attach import attached, sharing_copy
from invmask.masks.repair import Gates
from invmask.masks.state import MaskLayout, Masks, View
from invmask.runs.store import named_masks
from invmask.runs.store.run import Run
from invmask.runs.store.spec import RunSpec
from invmask.victims.victim import load_victim
from tests.unit.run_helpers import VICTIM, small_spec, taken, write_victims

DATA = Path(__file__).resolve().parents[1] / "data"
LEARNED = DATA / "badnets_default_spc10_seed0_round40.safetensors"


@pytest.fixture
def run(own_home: Path) -> Run:
    write_victims(own_home / "victims")
    return taken(own_home, small_spec(), 3)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> MaskSource:
    """The masks of a real run of the default preset on the embedded BadNets victim."""
    found = read_mask(LEARNED)
    victim = load_victim(found.about["victim"], [settings.ASSETS / "victims"])
    spec = RunSpec.from_json({
        "victim": victim.card.name, "preset": "default", "spc": 10, "seed": 0, "config": found.about["settings"],
    })  # fmt: skip
    run = Run(tmp_path_factory.mktemp("runs") / "20260101-000000-badnets-0000")
    return MaskSource(run, spec, victim, MaskLayout.of(victim.model), Gates(found.masks), found.about["round"])


def test_the_fixture_says_what_made_it(learned: MaskSource):
    story = json.loads(LEARNED.with_suffix(".json").read_text())
    assert story["victim"] == learned.victim.card.name
    assert (story["preset"], story["spc"], story["seed"], story["round"]) == ("default", 10, 0, learned.round)
    assert int((learned.masks.gate(View.PRUNED) < 0.5).sum()) == story["pruned"]


def test_onnx_agrees_on_all_embedded_test_images(learned: MaskSource, tmp_path: Path):
    agreement = exported.write_onnx(tmp_path / "pruned.onnx", learned, View.PRUNED)
    assert agreement == Agreement(2000, 2000, agreement.largest)
    assert 0 < agreement.largest <= 1e-3
    content = onnx.load(tmp_path / "pruned.onnx")
    onnx.checker.check_model(content)
    (shape,) = [i.type.tensor_type.shape.dim for i in content.graph.input]
    assert (content.graph.input[0].name, content.graph.output[0].name) == ("images", "logits")
    assert [d.dim_value for d in shape][1:] == [3, 32, 32]
    assert shape[0].dim_param
    assert content.opset_import[0].version == exported.OPSET
    about = json.loads(next(p.value for p in content.metadata_props if p.key == "invmask"))
    assert (about["view"], about["round"], about["seed"]) == ("pruned", 40, 0)
    # Nothing of the machine that made it.
    assert str(Path(torch.__file__).parent).encode() not in (tmp_path / "pruned.onnx").read_bytes()
    one = exported.onnx_model(tmp_path / "pruned.onnx")(torch.rand(1, 3, 32, 32))
    assert one.shape == (1, 10)


@pytest.mark.parametrize("view", [View.PRUNED, View.INVERSE])
def test_safetensors_agree_on_all_embedded_test_images(learned: MaskSource, tmp_path: Path, view: View):
    path = tmp_path / "model.safetensors"
    agreement = exported.write_weights(path, learned, view)
    assert (agreement.images, agreement.same) == (2000, 2000)
    assert agreement.largest <= 1e-3
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["invmask"])
        assert set(file.keys()) == set(learned.victim.model.network.state_dict())
    assert (about["victim"], about["view"], about["round"]) == (learned.victim.card.name, view.value, 40)
    assert about["input"]["mean"] == list(learned.victim.card.dataset_info.mean)
    assert (about["preset"], about["settings"]) == ("default", learned.spec.config.as_json())
    assert about["settings"]["steepness"] == learned.masks.steepness
    assert about["versions"]["export"]["torch"] == torch.__version__


def test_a_model_that_answers_otherwise_is_told_of(learned: MaskSource):
    few = load_embedded("cifar10", "test").images.take(torch.arange(200).numpy())
    unmasked = compare(learned, View.PRUNED, sharing_copy(learned.victim.model), few)
    assert not unmasked.holds
    assert unmasked.same < 200
    assert "NOT" in unmasked.sentence()
    broken = compare(learned, View.PRUNED, lambda images: torch.full((len(images), 10), torch.nan), few)
    assert not broken.holds


def test_a_mask_alone_gives_every_view_back(run: Run, tmp_path: Path):
    source = take_masks(run)
    write_mask(tmp_path / "mask.safetensors", source)
    found = read_mask(tmp_path / "mask.safetensors")
    assert found.layout == source.layout
    assert found.about["run"] == run.id
    for view in View:
        assert torch.equal(found.masks.gate(view), source.masks.gate(view))
    assert bool((found.masks.gate(View.ORIGINAL) == 1).all())


def test_the_round_and_the_name_choose_the_masks(run: Run):
    assert take_masks(run).round == 3
    assert torch.equal(take_masks(run, 1).masks.mask, run.masks_at(1).mask)
    by_hand = Masks(torch.zeros(150), torch.zeros(150))
    named_masks.save(run, "by hand", by_hand)
    source = take_masks(run, name="by hand")
    assert torch.equal(source.masks.mask, by_hand.mask)
    assert (source.about()["mask"], source.about()["round"], source.words) == ("by hand", None, "mask 'by hand'")
    for wrong in ({"round_taken": 9}, {"name": "nobody"}, {"name": "by hand", "round_taken": 1}):
        with pytest.raises(UserError):
            take_masks(run, **wrong)


def test_other_files_are_refused(run: Run, tmp_path: Path):
    source = take_masks(run)
    mask, weights = tmp_path / "mask.safetensors", tmp_path / "weights.safetensors"
    write_mask(mask, source)
    images = load_embedded("cifar10", "test").images.take(torch.arange(20).numpy())
    assert exported.write_weights(weights, source, View.INVERSE, images).holds
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    for reader, wrong in (
        (read_mask, weights),
        (exported.read_weights, mask),
        (read_mask, tmp_path / "broken.safetensors"),
    ):
        with pytest.raises(UserError, match="export it again"):
            reader(wrong)


@pytest.mark.parametrize(
    ("value", "steepness"), [(float("nan"), "20.0"), (1.5, "20.0"), (-0.5, "20.0"), (0.5, "NaN"), (0.5, "-3")]
)
def test_numbers_that_are_no_mask_are_refused(run: Run, tmp_path: Path, value: float, steepness: str):
    source = take_masks(run)
    source.masks.mask[7] = value
    path = tmp_path / "mask.safetensors"
    write_mask(path, replace(source, repair=Gates(replace(source.masks, steepness=float(steepness)))))
    with pytest.raises(UserError, match="export it again"):
        read_mask(path)


def test_gates_that_cannot_be_folded_go_along_as_data(run: Run, tmp_path: Path):
    source = take_masks(run)
    network = source.victim.model.network
    first, second = network.layer1[0].conv1, network.layer1[0].conv2
    second.weight = first.weight
    source = MaskSource(run, source.spec, source.victim, source.layout, Gates(Masks(*torch.rand(2, 150))), 3)
    images = load_embedded("cifar10", "test").images.take(torch.arange(20).numpy())
    path = tmp_path / "shared.safetensors"
    assert exported.write_weights(path, source, View.PRUNED, images).holds
    with safe_open(path, "pt") as file:
        gates = {key for key in file.keys() if key.startswith("gate:")}  # noqa: SIM118
    assert gates == {"gate:network.layer1.0.conv1", "gate:network.layer1.0.conv2"}
    assert exported.write_onnx(tmp_path / "shared.onnx", source, View.PRUNED, images).holds
    assert not any(module._forward_hooks for module in source.victim.model.modules())
    with attached(sharing_copy(source.victim.model), source.layout, source.masks.gate(View.PRUNED)) as masked:
        assert isinstance(masked, nn.Module)


def test_masks_are_not_put_on_another_network_of_the_victims_name(run: Run, own_home: Path):
    path = own_home / "victims" / f"{VICTIM}.safetensors"
    save_file({name: tensor.clone().mul_(2) for name, tensor in load_file(path).items()}, path)
    with pytest.raises(UserError, match=r"is another one than when run .* began"):
        take_masks(run)


def test_the_victim_of_a_run_has_to_be_there(run: Run, own_home: Path):
    (own_home / "victims" / f"{VICTIM}.json").unlink()
    with pytest.raises(UserError, match="There is no victim"):
        take_masks(run)
