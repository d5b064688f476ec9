"""`models` and `datasets`: the architectures and data sets that victims can be made from."""

import sys
from typing import Any

import torch

from invmask import settings
from invmask.cli.tables import print_json, print_table
from invmask.data.embedded import ASSETS, embedded_folder, is_embedded
from invmask.data.images import DATASETS, DatasetInfo
from invmask.data.registry import is_fetched
from invmask.masks.state import MaskLayout
from invmask.models.registry import ARCHITECTURES, Architecture, build

CLASSES = 10


def models(as_json: bool) -> int:
    """Print every architecture at its published or usual width, for 10 classes and images of 3x32x32."""
    found = [_architecture(ARCHITECTURES[name]) for name in sorted(ARCHITECTURES)]
    if as_json:
        print_json(found)
        return 0
    rows = [
        [
            card["name"],
            card["title"],
            str(card["width"]),
            f"{card['parameters']:,}",
            str(card["layers"]),
            card["masked"],
        ]
        for card in found
    ]
    print_table(["architecture", "title", "width", "parameters", "layers", "masked"], rows)
    hint = (
        "A width may follow a name, as in preactresnet18w16. Torchvision's classifiers are torchvision:NAME, timm's "
        "networks timm:NAME, and the usual networks for small images cifar:NAME, as in cifar:wideresnet28x10."
    )
    print(hint, file=sys.stderr)
    return 0


def _architecture(known: Architecture) -> dict[str, Any]:
    # On the meta device, without memory: initialising ViT-B/16 or VGG-19 takes seconds.
    with torch.device("meta"):
        network = build(known.name, CLASSES)
    layout = MaskLayout.of(network)
    return {
        "name": known.name,
        "title": known.title,
        "width": known.width,
        "width_means": known.width_means,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "masked": "encoder blocks" if known.transformer else "convolutions",
        "layers": len(layout.layers),
        "channels": layout.channels,
        "source": known.source,
    }


def datasets(as_json: bool) -> int:
    """Print every data set, and whether its full form and its images for defences are on this machine."""
    found = [_dataset(DATASETS[name]) for name in sorted(DATASETS)]
    if as_json:
        print_json(found)
        return 0
    rows = [
        [
            card["name"],
            card["title"],
            str(card["n_classes"]),
            "x".join(map(str, card["shape"])),
            *(f"{card[part]:,}" for part in ("train", "test")),
            "yes" if card["fetched"] else "no",
            card["images"],
        ]
        for card in found
    ]
    print_table(["data set", "title", "classes", "image", "training", "test", "fetched", "for defences"], rows)
    print("A folder of one's own in the data folder is folder:NAME, or folder:NAME@SIDE.", file=sys.stderr)
    return 0


def _dataset(info: DatasetInfo) -> dict[str, Any]:
    images = embedded_folder(info.name)
    kept = "embedded" if images.parent == ASSETS else "prepared" if is_embedded(info.name) else "none"
    return {
        "name": info.name,
        "title": info.title,
        "n_classes": len(info.classes),
        "classes": list(info.classes),
        "shape": list(info.shape),
        "mean": list(info.mean),
        "std": list(info.std),
        "train": info.train,
        "test": info.test,
        "fetched": is_fetched(info.name, settings.data_folder()),
        "images": kept,
        "source": info.source,
        "citation": info.citation,
    }
