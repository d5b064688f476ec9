"""The tensors of a model of one's own under the names that they have in the file it came in."""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from invmask.data.own import is_own, own_folder
from invmask.errors import UserError
from invmask.victims.bring import Brought
from invmask.victims.victim import VictimCard

UNUSED = "unused.safetensors"
"""Tensors of the file that the network's answers do not need, such as a second head; beside the model's images."""


def in_file(card: VictimCard, network: nn.Module) -> dict[str, Tensor]:
    """The network's tensors as a file of weights has them: for a model of one's own, under the names in its own file.

    Raises:
        UserError: the unused tensors of a model of one's own are missing or damaged.
    """
    state = {key: value.detach().clone().contiguous() for key, value in network.state_dict().items()}
    names = file_names(card)
    if not names:
        return state
    own = {theirs: state[ours] for ours, theirs in names.items() if ours in state}
    return {**_unused(card), **own}


def file_names(card: VictimCard) -> Mapping[str, str]:
    """The name in the file for each tensor of the network that the file has; empty for other victims."""
    brought = Brought.of(card)
    return {} if brought is None else brought.names


def load_from_file(network: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Load the tensors of a file that `in_file` made.

    Args:
        names: see `file_names`; empty if the names are the network's.

    Raises:
        RuntimeError, KeyError: tensors are missing, left over or of another shape.
    """
    if not names:
        network.load_state_dict(dict(tensors))
        return
    own = network.state_dict()
    network.load_state_dict(own | {ours: tensors[theirs] for ours, theirs in names.items() if ours in own})


def keep_unused(dataset: str, tensors: Mapping[str, Tensor]) -> None:
    """Keep the tensors that the network does not need, so that a repaired file has them too."""
    path = own_folder(dataset) / UNUSED
    path.unlink(missing_ok=True)
    if tensors:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)


@torch.no_grad()
def _unused(card: VictimCard) -> dict[str, Tensor]:
    path = own_folder(card.dataset) / UNUSED
    if not is_own(card.dataset) or not path.exists():
        return {}
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged; bring the model in again.") from error
