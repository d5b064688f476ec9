"""Names of weights without what wrappers put in front of them, and matched to the names of a network."""

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from invmask.errors import UserError

_SHOWN = 3
_INSERTED = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts that DataParallel, torch.compile and the like insert, around the whole network or around one part of it."""
_WRAPPERS = frozenset({"model", "net", "network", "_model", "backbone", "base_model", "wrapped"})


def without_wrappers(names: list[str]) -> dict[str, str]:
    """Each name without what wrappers have put in front.

    `module.` and `_orig_mod.` are removed wherever they occur (`features.module.0` becomes `features.0`). A part that
    all names begin with, such as `model.` or the `1.` of a sequence, is removed as often as there is one. The names
    stay as they are where two of them would become one.

    Returns:
        The names in the file by their new names, in the same order.
    """
    cleaned = {name: ".".join(part for part in name.split(".") if part not in _INSERTED) for name in names}
    if len(set(cleaned.values())) < len(names) or not all(cleaned.values()):
        cleaned = {name: name for name in names}
    while first := _shared(cleaned.values()):
        shorter = {name: new.removeprefix(first) for name, new in cleaned.items()}
        # `fc.weight, fc.bias` keep their `fc.`: what is left has to be names of parts, unless a known wrapper is gone.
        if first[:-1] not in _WRAPPERS and not all("." in new for new in shorter.values()):
            break
        cleaned = shorter
    return {new: name for name, new in cleaned.items()}


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


def _renamed(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """All candidates: `state` as it is, without the prefixes of all its names, and with the prefix of `own`'s names.

    The last one takes parts such as `module.` for the network's own, in case it has parts of these names.
    """
    candidates, current = [dict(state)], dict(state)
    while prefix := _shared(current):
        current = {name.removeprefix(prefix): tensor for name, tensor in current.items()}
        candidates.append(current)
    if added := _shared(own):
        candidates += [{added + name: tensor for name, tensor in candidate.items()} for candidate in candidates]
    kept = without_wrappers(list(own))
    candidates.append({kept.get(name, name): tensor for name, tensor in state.items()})
    return candidates


def _shared(names: Iterable[str]) -> str:
    """The first module name that all names begin with, with its dot; empty if there is none."""
    names = list(names)
    first = {name.partition(".")[0] for name in names if "." in name}
    return f"{first.pop()}." if len(first) == 1 and all("." in name for name in names) else ""


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
