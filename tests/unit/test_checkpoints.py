"""Weights that others stored load under whatever prefix their wrapper gave them, and nothing else is unpickled."""

import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from invmask.errors import UserError
from invmask.models import build
from invmask.models.checkpoint import load_weights, read_state
from invmask.models.published import Enlarged


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


def untrained() -> torch.nn.Module:
    torch.manual_seed(9)
    return build("preactresnet18w2", 10)


WRITERS = {
    "safetensors": lambda state, path: save_file(state, path.with_suffix(".safetensors")),
    "plain": torch.save,
    "beside other things": lambda state, path: torch.save({"model": state, "num_classes": 10, "name": "x"}, path),
    "beside arrays": lambda state, path: torch.save(
        {
            "model_name": "preactresnet18",
            "num_classes": np.int64(10),
            "model": state,
            "bd_train": {"poison_indicator": np.array([0, 1]), "original_index_array": None, "share": np.float64(0.1)},
            "of": [
                np.zeros(2, np.uint8),
                np.ones(3, np.float32),
                np.array([True]),
                np.array(["a"]),
                np.array([1, None], object),
            ],
        },
        path,
    ),
    "in one another": lambda state, path: torch.save({"net": {"state_dict": state}, "epoch": 3}, path),
}


@pytest.mark.parametrize("how", WRITERS)
@pytest.mark.parametrize("prefix", ["", "module.", "network.", "1.", "module.network."])
def test_weights_load_from_every_form_and_prefix(state, tmp_path: Path, how: str, prefix: str):
    WRITERS[how]({prefix + name: tensor for name, tensor in state.items()}, tmp_path / "model.pt")
    (path,) = tmp_path.iterdir()
    network = untrained()
    load_weights(network, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_a_wrapper_of_ours_is_put_on(state, tmp_path: Path):
    torch.save({"1." + name: tensor for name, tensor in state.items()}, tmp_path / "behind a resize.pt")
    network = Enlarged(untrained(), 64)
    load_weights(network, tmp_path / "behind a resize.pt")
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.network.state_dict().items())


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
    found = read_state(tmp_path / "model.pt")
    assert set(found) == set(state)
    # What stands for the array has nothing to look at.
    torch.save({"model": state, "other": Counted()}, tmp_path / "counted.pt")
    with pytest.raises(UserError, match="no weights that can be read safely"):
        read_state(tmp_path / "counted.pt")


def test_files_are_read_by_several_at_once(state, tmp_path: Path):
    WRITERS["beside arrays"](state, tmp_path / "model.pt")
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(read_state, [tmp_path / "model.pt"] * 40):
            assert set(found) == set(state)


class Dangerous:
    def __reduce__(self):
        return (Path.touch, (Path("was-run"),))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("content", ["pickle", "noise", "empty", "list", "missing", "itself"])
def test_nothing_but_weights_is_read(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    if content == "pickle":
        torch.save({"model": Dangerous()}, path)
    elif content == "noise":
        path.write_bytes(pickle.dumps(Dangerous()))
    elif content == "empty":
        path.write_bytes(b"")
    elif content == "list":
        torch.save([torch.ones(2)], path)
    elif content == "itself":
        endless: dict[str, object] = {"weight": torch.ones(2)}
        endless["model"] = endless
        torch.save(endless, path)
    with pytest.raises(UserError, match="store the network's state_dict as safetensors"):
        read_state(path)
    assert not (tmp_path / "was-run").exists()
