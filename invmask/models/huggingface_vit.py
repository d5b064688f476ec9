"""A Vision Transformer (Dosovitskiy et al. 2021) whose tensors have the names of Hugging Face's Transformers.

It is ours, so that its files load without that library. Its name holds its sizes, because a file's config.json is not
kept: ``vit-d192-l12-h3-m768-p16-s224`` has 192 dimensions, 12 layers of 3 heads and 768 dimensions inside, patches of
16x16 pixels and images of 224x224. ``-nobias`` says that queries, keys and values have no bias.
"""

import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invmask.errors import UserError
from invmask.models.enlarged import Enlarged

_NAME = re.compile(r"vit-d(\d{1,4})-l(\d{1,3})-h(\d{1,3})-m(\d{1,5})-p(\d{1,3})-s(\d{1,4})(-nobias)?")
_EPSILON = 1e-12


class _Dense(nn.Module):
    """A linear layer under the name `dense`."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.dense = nn.Linear(before, after)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x)


class _SelfAttention(nn.Module):
    """Multi-head attention of tokens [N, T, D] without its output layer."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=bias) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        return F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(-2)


class _Attention(nn.Module):
    """Multi-head attention of tokens [N, T, D] with its output layer."""

    def __init__(self, width: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.attention = _SelfAttention(width, heads, bias)
        self.output = _Dense(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.attention(x))


class Layer(nn.Module):
    """An encoder block: attention and an MLP, each behind a LayerNorm, with shortcuts. Maps [N, T, D] to [N, T, D]."""

    def __init__(self, width: int, heads: int, inside: int, bias: bool) -> None:
        super().__init__()
        self.attention = _Attention(width, heads, bias)
        self.intermediate = _Dense(width, inside)
        self.output = _Dense(inside, width)
        self.layernorm_before = nn.LayerNorm(width, _EPSILON)
        self.layernorm_after = nn.LayerNorm(width, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layernorm_before(x))
        return x + self.output(F.gelu(self.intermediate(self.layernorm_after(x))))


class _PatchEmbeddings(nn.Module):
    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(x).flatten(2).transpose(1, 2)


class _Embeddings(nn.Module):
    """Patches, a class token before them, and positions: images [N, C, H, W] to tokens [N, T, D]."""

    def __init__(self, channels: int, width: int, patch: int, side: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position_embeddings = nn.Parameter(0.02 * torch.randn(1, 1 + (side // patch) ** 2, width))
        self.patch_embeddings = _PatchEmbeddings(channels, width, patch)

    def forward(self, x: Tensor) -> Tensor:
        # `x.shape`, because `len` would fix the number of images when the network is exported.
        token = self.cls_token.expand(x.shape[0], -1, -1)
        return torch.cat([token, self.patch_embeddings(x)], 1) + self.position_embeddings


class _Encoder(nn.Module):
    def __init__(self, layers: list[Layer]) -> None:
        super().__init__()
        self.layer = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class _Body(nn.Module):
    def __init__(self, embeddings: _Embeddings, layers: list[Layer], width: int) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.encoder = _Encoder(layers)
        self.layernorm = nn.LayerNorm(width, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.layernorm(self.encoder(self.embeddings(x)))


class VisionTransformer(nn.Module):
    """Maps images [N, C, side, side] (normalised) to logits [N, K], which are read from the class token."""

    def __init__(self, body: _Body, width: int, num_classes: int) -> None:
        super().__init__()
        self.vit = body
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.vit(x)[:, 0])


def huggingface_network(name: str, num_classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """A Vision Transformer with fresh weights, in `Enlarged` if `shape` is not the size that its name says.

    Raises:
        UserError: the name is none, or its numbers do not fit together.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"There is no network 'huggingface:{name}'; names are such as vit-d192-l12-h3-m768-p16-s224.")
    width, depth, heads, inside, patch, side = (int(number) for number in match.groups()[:6])
    if 0 in (width, depth, heads, inside, patch, side) or width % heads or side % patch:
        raise UserError(f"The numbers in 'huggingface:{name}' do not fit together.")
    layers = [Layer(width, heads, inside, match[7] is None) for _ in range(depth)]
    body = _Body(_Embeddings(shape[0], width, patch, side), layers, width)
    network = VisionTransformer(body, width, num_classes)
    return network if tuple(shape[1:]) == (side, side) else Enlarged(network, side)
