"""Makes the index of timm's and torchvision's networks: numbers for the names and shapes of their tensors.

Every network is built without memory for its weights, with two numbers of classes (what changes is its last layer) and
for images of 3 channels and of 1. Takes some minutes:

    python -m benchmarks.known_networks
"""

import argparse
import io
import json
import logging
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import timm
import torch
from torch import nn

from invmask import disk
from invmask.masks.outputs import is_transformer
from invmask.models.known_networks import CHANNELS, DEPTHWISE, INDEX, NORMALISED, SKETCHED, TRANSFORMER
from invmask.models.published import new_classifier, torchvision_names
from invmask.models.tensor_table import Table, named_sum, shaped_sum, sketch_numbers, table_of

CLASSES = (1003, 1009)
Maker = Callable[[int, int], nn.Module]


def from_torchvision(name: str) -> Maker:
    """What makes one of torchvision's networks from a number of classes and of channels."""
    return lambda classes, channels: new_classifier(name, classes, channels)


def from_timm(name: str) -> Maker:
    """What makes one of timm's networks from a number of classes and of channels."""
    return lambda classes, channels: timm.create_model(name, num_classes=classes, in_chans=channels)


def body(make: Maker) -> tuple[Table, nn.Module]:
    """The table without what depends on the number of classes, and the network."""
    networks = [make(classes, 3) for classes in CLASSES]
    one, other = (table_of(network.state_dict()) for network in networks)
    return {name: shape for name, shape in one.items() if other.get(name) == shape}, networks[0]


def flags(network: nn.Module) -> int:
    """What the index says of the network's layers, as bits."""
    modules = list(network.modules())
    convolutions = [module for module in modules if isinstance(module, nn.Conv2d)]
    depthwise = any(module.groups == module.in_channels > 1 for module in convolutions)
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    normalised = any(isinstance(module, norms) or "Norm" in type(module).__name__ for module in modules)
    return TRANSFORMER * is_transformer(network) + DEPTHWISE * depthwise + NORMALISED * normalised


def entry(make: Maker) -> dict[str, object]:
    """What the index says of one network."""
    try:
        device = "meta"
        with torch.device(device):
            table, network = body(make)
    except RuntimeError:
        # RegNets of torchvision draw their stages by tensors, which have to hold numbers.
        device = "cpu"
        table, network = body(make)
    tables = {3: table}
    try:
        with torch.device(device):
            grey = table_of(make(CLASSES[0], 1).state_dict())
        tables[1] = {name: grey[name] for name in tables[3] if name in grey}
    except Exception:  # the makers are others' code, and some of them take three channels only
        pass
    numbers = sorted(sketch_numbers(table))[:SKETCHED]
    return {
        "named": [named_sum(tables[channels]) if channels in tables else 0 for channels in CHANNELS],
        "shaped": [shaped_sum(tables[channels]) if channels in tables else 0 for channels in CHANNELS],
        "sketch": numbers + numbers[-1:] * (SKETCHED - len(numbers)),
        "flags": flags(network),
        "tensors": len(table),
    }


def main() -> None:
    """Write the index beside the code that reads it."""
    parser = argparse.ArgumentParser(description="Makes the index of networks.")
    parser.add_argument("--first", type=int, help="only so many of timm's, to try the script")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    makers = {f"torchvision:{name}": from_torchvision(name) for name in torchvision_names()}
    # The shortest name first: `vit_base_patch16_224` comes before its variants with equal tensors.
    names = sorted(timm.list_models(), key=lambda name: (name.startswith("tf_"), len(name), name))
    makers |= {f"timm:{name}": from_timm(name) for name in names[: arguments.first]}
    started, entries, left = time.perf_counter(), {}, []
    for name, make in makers.items():
        try:
            entries[name] = entry(make)
        except Exception as error:  # one network that needs another library is no reason to have none
            left.append(name)
            print(f"{name}: {error!r:.200}", flush=True)
    kinds = {"named": np.uint64, "shaped": np.uint64, "sketch": np.uint32, "flags": np.uint8, "tensors": np.uint16}
    arrays = {key: np.array([one[key] for one in entries.values()], kind) for key, kind in kinds.items()}
    about = {"names": list(entries), "versions": {of: version(of) for of in ("timm", "torchvision")}}
    buffer = io.BytesIO()
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    disk.write_bytes(INDEX, buffer.getvalue())
    seconds = time.perf_counter() - started
    print(f"{len(entries)} networks in {seconds:.0f} s, {len(left)} left out, {INDEX.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
