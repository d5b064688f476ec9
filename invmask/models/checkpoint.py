"""Reading weights stored by other programs (safetensors or PyTorch), and matching their names to a network's."""

import pickle
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.serialization import safe_globals

from invmask.errors import UserError

MAX_BYTES = 2 << 30
WRAPPED = ("model", "state_dict", "model_state_dict", "net", "network", "weights")
"""Keys under which training programs store the `state_dict` beside other data."""
_SHOWN = 3
_DEEPEST = 8


class _PassedOver:
    """A placeholder for a NumPy array or number in a file. Programs store these beside the weights.

    For example, the benchmark's files list the poisoned images so. Real arrays are not built, because the writer of the
    file could choose how their bytes are interpreted.
    """

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_NUMPY = (
    "numpy.ndarray",
    "numpy.dtype",
    *(f"numpy.{core}.multiarray.{maker}" for core in ("core", "_core") for maker in ("_reconstruct", "scalar")),
)
_PASSED_OVER: list[Any] = [(_PassedOver, name) for name in _NUMPY]
# A hostile or damaged file can cause any of these errors.
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, TypeError, LookupError, AttributeError)
# The placeholders apply to the whole process while a file is read, so only one file is read at a time.
_reading = threading.Lock()


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors in a file by name. Only tensors, numbers and strings are unpickled; arrays are skipped.

    Raises:
        UserError: not a file of weights.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        if path.suffix == ".safetensors":
            return load_file(path)
        with _reading, warnings.catch_warnings(), safe_globals(_PASSED_OVER):
            warnings.simplefilter("ignore")  # a warning about the old file format does not matter if it can be read
            found = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor for name, tensor in _unwrapped(found).items() if isinstance(tensor, Tensor)}
    except (*_UNREADABLE, pickle.UnpicklingError, SafetensorError) as error:
        raise UserError(
            f"{path} holds no weights that can be read safely; store the network's state_dict as safetensors."
        ) from error


def _unwrapped(found: Any) -> Mapping[Any, Any]:
    """Find the mapping of tensors. Raises ValueError if there is none, or if mappings are nested without end."""
    for _ in range(_DEEPEST):
        if not isinstance(found, Mapping):
            raise ValueError("no state_dict")
        inside = [name for name in WRAPPED if isinstance(found.get(name), Mapping)]
        if not inside:
            return found
        found = found[inside[0]]
    raise ValueError("no end")


def fit_names(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Rename the tensors of `state` to the names of `network`, by removing or adding prefixes of wrappers.

    Such prefixes are `module.`, `network.` or `1.`.

    Raises:
        UserError: with every prefix, tensors are missing, left over or of other shapes; the message names some.
    """
    own = network.state_dict()
    best: tuple[int, dict[str, Tensor]] = (-1, {})
    for candidate in _renamed(state, own):
        fitting = sum(name in own and own[name].shape == tensor.shape for name, tensor in candidate.items())
        best = max(best, (fitting, candidate), key=lambda pair: pair[0])
    fitted = best[1]
    # BatchNorm's batch counters have no effect in eval mode, and some programs leave them out.
    fitted |= {name: own[name] for name in own if name.endswith("num_batches_tracked") and name not in fitted}
    wrong = {
        "missing": sorted(set(own) - set(fitted)),
        "left over": sorted(set(fitted) - set(own)),
        "of another shape": sorted(n for n in own if n in fitted and fitted[n].shape != own[n].shape),
    }
    said = [f"{_few(names)} {'is' if len(names) == 1 else 'are'} {what}" for what, names in wrong.items() if names]
    if said:
        raise UserError(f"These weights belong to another network: {', '.join(said)}.")
    return fitted


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the weights in a file into `network`.

    Raises:
        UserError: the file has no weights, or those of another network; `network` is then unchanged.
    """
    network.load_state_dict(fit_names(read_state(path), network))


def _renamed(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """All candidates: `state` as it is, without the prefixes of all its names, and with the prefix of `own`'s names."""
    candidates, current = [dict(state)], dict(state)
    while prefix := _shared(current):
        current = {name.removeprefix(prefix): tensor for name, tensor in current.items()}
        candidates.append(current)
    if added := _shared(own):
        candidates += [{added + name: tensor for name, tensor in candidate.items()} for candidate in candidates]
    return candidates


def _shared(names: Mapping[str, Tensor]) -> str:
    """The first module name that all names begin with, with its dot; empty if there is none."""
    first = {name.partition(".")[0] for name in names if "." in name}
    return f"{first.pop()}." if len(first) == 1 and all("." in name for name in names) else ""


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
