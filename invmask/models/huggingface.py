"""Files of Hugging Face's Transformers: the names of their ResNet and Vision Transformer, and what config.json says."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from invmask.models.tensor_table import Table

_PATCHES = "vit.embeddings.patch_embeddings.projection.weight"
_POSITIONS = "vit.embeddings.position_embeddings"
_USUAL_HEAD = 64
"""Dimensions of an attention head in all published Vision Transformers of usual size."""
_RESNET = (
    (r"(?:resnet\.)?embedder\.embedder\.convolution\.", "conv1."),
    (r"(?:resnet\.)?embedder\.embedder\.normalization\.", "bn1."),
    (r"classifier\.1\.", "fc."),
)
_BLOCK = re.compile(r"(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:layer\.(\d+)|shortcut)\.(\w+)\.(.+)")


def resnet_names(names: Sequence[str]) -> dict[str, str]:
    """Torchvision's names by those of the file, if it is a ResNet of Hugging Face; otherwise each name by itself."""
    if not any(re.match(_RESNET[0][0], name) for name in names):
        return {name: name for name in names}
    return {name: _resnet_name(name) for name in names}


def _resnet_name(name: str) -> str:
    match = _BLOCK.fullmatch(name)
    if match is not None:
        stage, block, layer, kind, leaf = match.groups()
        at = f"layer{int(stage) + 1}.{block}"
        if layer is None:
            return f"{at}.downsample.{int(kind == 'normalization')}.{leaf}"
        return f"{at}.{'conv' if kind == 'convolution' else 'bn'}{int(layer) + 1}.{leaf}"
    for pattern, ours in _RESNET:
        name = re.sub(f"^{pattern}", ours, name)
    return name


def vit_name(table: Table, config: Mapping[str, Any]) -> tuple[str, int, int, int, tuple[str, ...]] | None:
    """The name of a Vision Transformer in Hugging Face's spelling, as `huggingface_vit` builds it.

    Args:
        config: of config.json. Without it the number of heads is not known and taken as one for 64 dimensions.

    Returns:
        Name, classes, channels, side of the images in pixels, and sentences about what was assumed. None if the tensors
        are not those of such a network.
    """
    needed = (_PATCHES, _POSITIONS, "classifier.weight", "vit.encoder.layer.0.intermediate.dense.weight")
    if any(name not in table for name in needed):
        return None
    patches, positions, classifier, inside = (table[name] for name in needed)
    if (len(patches), len(positions), len(classifier), len(inside)) != (4, 3, 2, 2):
        return None
    width, channels, patch = patches[:3]
    side = patch * math.isqrt(max(positions[1] - 1, 0))
    depth = len({name.split(".")[3] for name in table if name.startswith("vit.encoder.layer.")})
    said = config.get("num_attention_heads")
    heads = said if isinstance(said, int) and said > 0 else max(1, width // _USUAL_HEAD)
    notes = () if said else (f"The file does not say how many attention heads it has; {heads} were assumed.",)
    bias = "" if "vit.encoder.layer.0.attention.attention.query.bias" in table else "-nobias"
    return f"vit-d{width}-l{depth}-h{heads}-m{inside[0]}-p{patch}-s{side}{bias}", classifier[0], channels, side, notes
