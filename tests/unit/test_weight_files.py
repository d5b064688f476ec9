"""Weights of strangers load in every form and under every prefix, and nothing in a file is executed."""

import argparse
import datetime
import json
import pathlib
import pickle
import zipfile
from collections import Counter, OrderedDict, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from invmask import confined
from invmask.errors import UserError
from invmask.models import build
from invmask.models.published import Enlarged
from invmask.models.weight_files import EntryNeeded, WeightFile, load_weights, read_weight_file
from invmask.models.weight_names import without_wrappers


@pytest.fixture(autouse=True)
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    def call(function, *arguments, **_):
        return json.loads(json.dumps(function(*json.loads(json.dumps(arguments, default=str)))))

    if "in_a_child" not in request.fixturenames:
        monkeypatch.setattr(confined, "call", call)


@pytest.fixture
def in_a_child():
    """Asked for by tests that read in a real child, which takes seconds; elsewhere the child's part runs here."""


def usual_names() -> set[str]:
    """What the widely used CIFAR implementation of PreActResNet-18 calls its tensors."""
    names = {"conv1.weight", "linear.weight", "linear.bias"}
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    for stage in range(1, 5):
        for block in range(2):
            at = f"layer{stage}.{block}."
            names |= {f"{at}bn{n}.{part}" for n in (1, 2) for part in parts}
            names |= {f"{at}conv{n}.weight" for n in (1, 2)}
        if stage > 1:
            names.add(f"layer{stage}.0.shortcut.0.weight")
    return names


def test_the_names_are_the_usual_ones():
    assert set(build("preactresnet18", 10).state_dict()) == usual_names()


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(8)
    return build("preactresnet18w2", 10).state_dict()


def untrained() -> nn.Module:
    torch.manual_seed(9)
    return build("preactresnet18w2", 10)


class Block(nn.Module):
    """Stands for a class of the user's, which a reader of the file does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        self.register_buffer("table", torch.zeros(3), persistent=False)
        self.act = torch.nn.functional.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.norm(self.conv(x))).mean((2, 3)))


class EasyDict(dict):
    """As configurations are often stored: a dictionary with attributes."""


def same(found: WeightFile, state: dict[str, torch.Tensor]) -> bool:
    return found.tensors.keys() == state.keys() and all(torch.equal(found.tensors[n], state[n]) for n in state)


BESIDE = {
    "model_name": "preactresnet18",
    "num_classes": np.int64(10),
    "bd_train": {"poison_indicator": np.array([0, 1]), "original_index_array": None, "share": np.float64(0.1)},
    "of": [
        np.zeros(2, np.uint8),
        np.ones(3, np.float32),
        np.array([True]),
        np.array(["a"]),
        np.array([1, None], object),
    ],
}
WRITERS = {
    "safetensors": lambda state, path: save_file(state, path.with_suffix(".safetensors")),
    "plain": torch.save,
    "old": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "tar": lambda state, path: torch.save({"state_dict": state}, path.with_suffix(".pth.tar")),
    "no ending": lambda state, path: torch.save(OrderedDict(state), path.with_suffix("")),
    "beside other things": lambda state, path: torch.save({"model": state, "num_classes": 10, "name": "x"}, path),
    "beside arrays": lambda state, path: torch.save({**BESIDE, "model": state}, path),
    "beside arrays, old": lambda state, path: torch.save(
        {**BESIDE, "model": state}, path, _use_new_zipfile_serialization=False
    ),
    "in one another": lambda state, path: torch.save({"net": {"state_dict": state}, "epoch": 3}, path),
    "in a list": lambda state, path: torch.save([state, {"lr": 0.1}], path),
    "parameters": lambda state, path: torch.save(
        {name: nn.Parameter(t) if t.is_floating_point() else t for name, t in state.items()}, path
    ),
}


@pytest.mark.parametrize("how", WRITERS)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "network.", "1.", "module.network."])
def test_weights_load_from_every_form_and_prefix(state, tmp_path: Path, how: str, prefix: str):
    WRITERS[how]({prefix + name: tensor for name, tensor in state.items()}, tmp_path / "model.pt")
    (path,) = tmp_path.iterdir()
    network = untrained()
    load_weights(network, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    found = read_weight_file(path)
    assert same(found, state)
    assert found.own_names == {name: prefix + name for name in state}
    assert (
        not found.entry or how in ("tar", "beside other things", "beside arrays", "beside arrays, old") or "in " in how
    )


@pytest.mark.usefixtures("in_a_child")
def test_a_file_is_read_in_a_child_and_described(state, tmp_path: Path):
    torch.save({"net": {"module." + n: t for n, t in state.items()}, "acc": 95.1, "epoch": 199}, tmp_path / "c.pth")
    found = read_weight_file(tmp_path / "c.pth")
    assert same(found, state)
    assert (found.entry, found.kind) == ("net", "torch.save")
    assert found.notes == ("Beside the weights the file holds acc, epoch; this is not used.",)
    assert found.own_names["conv1.weight"] == "module.conv1.weight"
    assert len(found.digest) == 64


def test_only_part_of_the_names_has_a_prefix():
    names = ["features.module.0.weight", "features.module.0.bias", "classifier.1.weight"]
    assert list(without_wrappers(names)) == ["features.0.weight", "features.0.bias", "classifier.1.weight"]
    mixed = ["module.conv.weight", "head._orig_mod.weight"]
    assert without_wrappers(mixed) == {"conv.weight": mixed[0], "head.weight": mixed[1]}
    # What would become one name stays two, and the only module of a network stays its name.
    assert list(without_wrappers(["module.a.weight", "a.weight"])) == ["module.a.weight", "a.weight"]
    assert list(without_wrappers(["fc.weight", "fc.bias"])) == ["fc.weight", "fc.bias"]
    assert list(without_wrappers(["model.cls_token", "model.fc.bias"])) == ["cls_token", "fc.bias"]
    assert without_wrappers(["weight", "bias"]) == {"weight": "weight", "bias": "bias"}


def test_a_wrapper_of_ours_is_put_on(state, tmp_path: Path):
    torch.save({"1." + name: tensor for name, tensor in state.items()}, tmp_path / "behind a resize.pt")
    network = Enlarged(untrained(), 64)
    load_weights(network, tmp_path / "behind a resize.pt")
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.network.state_dict().items())


def test_parts_of_ones_own_that_are_named_like_wrappers_are_found(tmp_path: Path):
    network = nn.ModuleDict({"module": nn.Linear(3, 3), "head": nn.ModuleDict({"module": nn.Linear(3, 2)})})
    torch.save(network.state_dict(), tmp_path / "m.pt")
    other = nn.ModuleDict({"module": nn.Linear(3, 3), "head": nn.ModuleDict({"module": nn.Linear(3, 2)})})
    load_weights(other, tmp_path / "m.pt")
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_counts_of_batches_may_be_missing(state, tmp_path: Path):
    kept = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    torch.save(kept, tmp_path / "old.pt")
    network = untrained()
    load_weights(network, tmp_path / "old.pt")
    found = network.state_dict()
    assert set(found) > set(kept)
    assert all(torch.equal(found[name], tensor) for name, tensor in kept.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("linear.bias"), r"another network: linear.bias is missing\."),
        (lambda s: s.update({"bn.weight": torch.ones(16)}), r"another network: bn.weight is left over\."),
        (lambda s: s.update({"linear.weight": torch.ones(7, 16)}), "linear.weight is of another shape"),
        (lambda s: [s.pop(name) for name in list(s) if "layer4" in name], "are missing"),
    ],
)
def test_another_networks_weights_are_refused_and_change_nothing(state, tmp_path: Path, change, message):
    change(state)
    torch.save(state, tmp_path / "other.pt")
    network = untrained()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load_weights(network, tmp_path / "other.pt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("old", [False, True])
def test_what_training_programs_keep_beside_is_named_and_not_made(state, tmp_path: Path, old: bool, monkeypatch):
    made = []
    monkeypatch.setattr(argparse.Namespace, "__init__", lambda *_, **__: made.append("Namespace"))
    arguments = argparse.Namespace.__new__(argparse.Namespace)
    vars(arguments).update(lr=0.1, out=pathlib.PurePosixPath("/tmp/x"))
    content = {
        "model": state,
        "best_acc": np.float64(93.2),
        "bd_train": {"x": np.zeros((2, 3)), "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)},
        "args": arguments,
        "path": pathlib.PosixPath("/home/somebody"),
        "counts": defaultdict(list, {"a": [1]}),
        "config": EasyDict(lr=0.1),
        "optimizer": {"state": {0: {"exp_avg.weight": torch.ones(2, 2)}}, "param_groups": [{"lr": 0.1}]},
    }
    torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=not old)
    found = read_weight_file(tmp_path / "m.pt")
    assert same(found, state)
    assert found.entry == "model"
    (foreign, beside) = found.notes
    assert foreign.startswith("Objects of these kinds were passed over without being made: numpy")
    assert "best_acc, bd_train, args, path, counts and 2 more" in beside
    assert made == []


def test_names_of_foreign_kinds_are_told(state, tmp_path: Path):
    torch.save({"model": state, "args": argparse.Namespace(a=1), "at": pathlib.PosixPath("/x")}, tmp_path / "m.pt")
    (foreign, _) = read_weight_file(tmp_path / "m.pt").notes
    assert "argparse.Namespace" in foreign
    assert "pathlib.PosixPath" in foreign


@pytest.mark.usefixtures("in_a_child")
def test_several_networks_in_one_file_are_asked_about(state, tmp_path: Path):
    other = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model": state, "ema": {"module": other}, "again": state, "epoch": 1}, tmp_path / "m.pt")
    with pytest.raises(EntryNeeded, match=r"several networks; choose one of them: model, ema\.module") as raised:
        read_weight_file(tmp_path / "m.pt")
    assert raised.value.entries == ("model", "ema.module")
    handed_on = pickle.loads(pickle.dumps(raised.value))
    assert (str(handed_on), handed_on.entries) == (str(raised.value), raised.value.entries)
    assert same(read_weight_file(tmp_path / "m.pt", "ema.module"), other)
    assert same(read_weight_file(tmp_path / "m.pt", "model"), state)
    with pytest.raises(UserError, match=r"no weights under 'best'; choose one of: model, ema\.module"):
        read_weight_file(tmp_path / "m.pt", "best")


def test_an_optimizers_tensors_are_no_network_and_similar_names_are(state, tmp_path: Path):
    other = {"x.weight": torch.ones(3, 3)}
    kept = {"optimizer": other, "opt_state": other, "lr_scheduler": other, "amp": other, "grad_scaler": other}
    torch.save({**kept, "upsampled": state}, tmp_path / "m.pt")
    found = read_weight_file(tmp_path / "m.pt")
    assert found.entry == "upsampled"
    assert same(found, state)


def test_copies_within_one_state_dict_are_asked_about(state, tmp_path: Path):
    other = {name: tensor + 1 for name, tensor in state.items()}
    both = {**{f"net.{n}": t for n, t in state.items()}, **{f"net_ema.{n}": t for n, t in other.items()}}
    save_file(both, tmp_path / "m.safetensors")
    with pytest.raises(EntryNeeded) as raised:
        read_weight_file(tmp_path / "m.safetensors")
    assert raised.value.entries == ("net", "net_ema")
    found = read_weight_file(tmp_path / "m.safetensors", "net_ema")
    assert same(found, other)
    assert found.own_names["conv1.weight"] == "net_ema.conv1.weight"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_other_precisions_become_float32_and_it_is_said(state, tmp_path: Path, kind: torch.dtype, ending: str):
    stored = {name: tensor.to(kind) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    (save_file if ending == "safetensors" else torch.save)(stored, tmp_path / f"m.{ending}")
    found = read_weight_file(tmp_path / f"m.{ending}")
    name = str(kind).removeprefix("torch.")
    assert found.notes == (f"Weights in {name} were converted to float32.",)
    assert {found.dtypes["conv1.weight"], found.tensors["conv1.weight"].dtype} == {name, torch.float32}
    assert torch.equal(found.tensors["conv1.weight"], stored["conv1.weight"].float())
    assert found.tensors["layer1.0.bn1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize("old", [False, True])
def test_weights_of_a_gpu_are_read_without_one(state, tmp_path: Path, old: bool, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:1")
    torch.save(state, tmp_path / "m.pt", _use_new_zipfile_serialization=not old)
    found = read_weight_file(tmp_path / "m.pt")
    assert same(found, state)
    assert found.notes == ("Weights stored on cuda:1 were loaded onto the CPU.",)


def test_a_whole_network_is_taken_apart_without_its_code(tmp_path: Path, monkeypatch):
    network = Block()
    torch.save({"net": nn.DataParallel(network), "epoch": 3}, tmp_path / "w.pt")
    monkeypatch.setattr(Block, "__setstate__", lambda *_: pytest.fail("its code was run"))
    found = read_weight_file(tmp_path / "w.pt")
    assert same(found, network.state_dict())
    assert list(found.tensors) == list(network.state_dict())
    assert found.own_names["conv.weight"] == "module.conv.weight"
    assert found.kind == "a whole network"
    whole, beside = found.notes
    assert whole.startswith(
        "This is a whole network, torch.nn.parallel.data_parallel.DataParallel; its weights were read"
    )
    assert beside == "Beside the weights the file holds epoch; this is not used."


def test_a_whole_network_in_the_old_form_is_named_with_the_command(tmp_path: Path):
    # The old form stores the source text of each class beside it, which PyTorch's safe reader refuses.
    torch.save(Block(), tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match="is a whole network in an old form; if you trust it") as raised:
        read_weight_file(tmp_path / "w.pt")
    inside = "torch.load('w.pt', 'cpu', weights_only=False)"
    assert f"""with: python -c "import torch; torch.save({inside}.state_dict(), 'weights.pt')\"""" in str(raised.value)


def test_views_and_shared_weights_become_tensors_of_their_own(tmp_path: Path):
    one = torch.arange(12.0).view(3, 4)
    torch.save({"a.weight": one, "b.weight": one, "c.weight": one.t(), "d.weight": one[1:, ::2]}, tmp_path / "m.pt")
    found = read_weight_file(tmp_path / "m.pt").tensors
    assert torch.equal(found["c.weight"], one.t())
    assert torch.equal(found["d.weight"], one[1:, ::2])
    assert len({tensor.data_ptr() for tensor in found.values()}) == 4


def test_an_exported_program_gives_its_weights(tmp_path: Path):
    network = Block().eval()
    torch.export.save(torch.export.export(network, (torch.zeros(1, 3, 8, 8),)), tmp_path / "e.pt2")
    found = read_weight_file(tmp_path / "e.pt2")
    assert found.kind == "torch.export"
    assert same(found, network.state_dict())


def test_an_earlier_exported_program_gives_its_weights(state, tmp_path: Path):
    torch.save(state, tmp_path / "inner")
    with zipfile.ZipFile(tmp_path / "e.pt2", "w") as archive:
        archive.write(tmp_path / "inner", "serialized_state_dict.pt")
        archive.writestr("serialized_exported_program.json", "{}")
    assert same(read_weight_file(tmp_path / "e.pt2"), state)


def scripted(path: Path):
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))


def packed(whole: bool):
    def write(path: Path):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2)).eval()
        made = torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)
        torch.save(made if whole else made.state_dict(), path)

    return write


def quantised(path: Path):
    weight = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    torch.save({"conv.weight": weight, "conv.scale": torch.tensor(0.1)}, path)


def zipped(name: str, content: bytes = b"x"):
    def write(path: Path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)

    return write


def onnx_model(path: Path):
    from onnx import TensorProto, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    save(helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])), path)


def bytes_of(content: bytes):
    return lambda path: path.write_bytes(content)


OTHERS = {
    "script": (scripted, r"TorchScript archive.*take the weights out with: python -c .*torch\.jit\.load"),
    "quantised": (quantised, r"quantised weights.*with: torch\.save\(network\.state_dict\(\), 'weights\.pt'\)"),
    "packed": (packed(False), "quantised weights"),
    "packed, whole": (packed(True), "quantised weights"),
    "int8": (lambda p: torch.save({"a.weight": torch.ones(2, 2, dtype=torch.int8)}, p), "quantised weights"),
    "keras": (bytes_of(b"\x89HDF\r\n\x1a\n" + bytes(50)), r"HDF5 file, as Keras.*with: torch\.save"),
    "keras 3": (zipped("model.weights.h5"), "zip archive"),
    "onnx": (onnx_model, r"ONNX model.*with: torch\.save"),
    "page": (bytes_of(b"<!DOCTYPE html><html>"), "web page"),
    "lfs": (bytes_of(b"version https://git-lfs.github.com/spec/v1\noid sha256:1"), "git lfs pull"),
    "zip": (zipped("inner/model.pth"), r"unpack it.*It holds inner/model\.pth"),
    "npz": (lambda p: np.savez(p.with_suffix(".npz"), a=np.ones(2)), r"NumPy archive.*torch\.save"),
    "npy": (lambda p: np.save(p.with_suffix(".npy"), np.ones(2)), "single NumPy array"),
    "gzip": (bytes_of(b"\x1f\x8b" + bytes(50)), "packed archive; unpack it"),
    "gguf": (bytes_of(b"GGUF" + bytes(50)), "GGUF file"),
    "one byte": (bytes_of(b"\x08"), "no weights that can be read safely"),
    "meta": (lambda p: torch.save(nn.Linear(2, 2, device="meta").state_dict(), p), "without the weights themselves"),
    "empty": (bytes_of(b""), "is empty; get it again"),
    "sparse": (lambda p: torch.save({"a.weight": torch.eye(3).to_sparse()}, p), "no weights that can be read safely"),
    "expanded": (
        lambda p: torch.save({"a.weight": torch.ones(1).expand(1 << 16, 1 << 16)}, p),
        "more than 1,073,741,824",
    ),
    "names": (lambda p: torch.save({"a\n.weight": torch.ones(2, 2)}, p), "names are not text"),
    "vectors": (lambda p: torch.save({"a.weight": torch.ones(2)}, p), "no weights that can be read safely"),
}


# PyTorch says of some of these forms that they are going out of use.
@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("kind", OTHERS)
def test_what_cannot_be_read_is_named_with_a_way_out(tmp_path: Path, kind: str):
    write, message = OTHERS[kind]
    write(tmp_path / "it.bin")
    (path,) = tmp_path.iterdir()
    with pytest.raises(UserError, match=message) as raised:
        read_weight_file(path)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"{path.name} ")


def test_folders_and_missing_files_are_told_apart(tmp_path: Path):
    with pytest.raises(UserError, match="is a folder; give the file of weights in it"):
        read_weight_file(tmp_path)
    for name in ("none.pt", "x\0y", "a" * 5000):
        with pytest.raises(UserError, match="There is no file"):
            read_weight_file(tmp_path / name)


class Overlay:
    """An array of objects over bytes of the writer's own: whoever looks at one follows a pointer of theirs."""

    def __reduce__(self):
        return (np.ndarray, ((8,), "O", b"A" * 64))


class Counted:
    """Looks at every object of it while it is read."""

    def __reduce__(self):
        return (Counter, (Overlay(),))


def test_arrays_are_never_made_of_what_a_file_says(state, tmp_path: Path):
    torch.save({"model": state, "other": Overlay()}, tmp_path / "model.pt")
    assert same(read_weight_file(tmp_path / "model.pt"), state)
    # What stands for the array has nothing to look at.
    torch.save({"model": state, "other": Counted()}, tmp_path / "counted.pt")
    with pytest.raises(UserError, match="no weights that can be read safely"):
        read_weight_file(tmp_path / "counted.pt")


@pytest.mark.usefixtures("in_a_child")
def test_files_are_read_by_several_at_once(state, tmp_path: Path):
    WRITERS["beside arrays"](state, tmp_path / "model.pt")
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(read_weight_file, [tmp_path / "model.pt"] * 4):
            assert same(found, state)


class Dangerous:
    def __reduce__(self):
        return (Path.touch, (Path("was-run"),))


class Shell:
    def __reduce__(self):
        import os

        return (os.system, ("touch was-run",))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content", ["pickle", "shell", "noise", "list", "itself", "deep"])
def test_nothing_but_weights_is_read(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    if content == "pickle":
        torch.save({"model": Dangerous()}, path)
    elif content == "shell":
        torch.save({"model": {"a.weight": torch.ones(2, 2)}, "x": Shell()}, path)
    elif content == "noise":
        path.write_bytes(pickle.dumps(Dangerous()))
    elif content == "list":
        torch.save([torch.ones(2)], path)
    elif content == "itself":
        endless: dict[str, object] = {}
        endless["model"] = endless
        torch.save(endless, path)
    elif content == "deep":
        deep: object = {"a.weight": torch.ones(2, 2)}
        for _ in range(50):
            deep = {"model": deep}
        torch.save(deep, path)
    with pytest.raises(UserError, match="store the network's state_dict as safetensors"):
        read_weight_file(path)
    assert not (tmp_path / "was-run").exists()
