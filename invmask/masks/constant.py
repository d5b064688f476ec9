"""A network for many passes under constant gates, which are folded into its weights as far as possible.

Many passes use the same gates (the inner problem, an evaluation). The multiplication by a gate is linear, and so is a
BatchNorm right after a convolution in eval mode. So both are folded into the convolution's weights once.
"""

from collections import Counter
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import GraphAppendingTracer, TracerBase
from torch.nn.utils.fusion import fuse_conv_bn_eval

from invmask.masks.attach import sharing_copy
from invmask.masks.fold import Folded, fold
from invmask.masks.state import MaskLayout


class ConstantView:
    """One view of a network for many passes. Equal to the gated network up to rounding.

    Args:
        model: in eval mode; left unchanged.
        gates: [channels] in [0, 1] over `layout`; taken as constants.
    """

    def __init__(self, model: nn.Module, layout: MaskLayout, gates: Tensor) -> None:
        self._folded = fold(model, layout, gates.detach())
        if model not in _pairs:
            _pairs[model] = norms_behind_convolutions(model)
        _fold_norms(self._folded, _pairs[model])
        self._folded.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Tensor) -> Tensor:
        """Logits [N, K] of images [N, C, H, W], in float32 (float64 from a float64 network)."""
        logits = self._folded.run(images.contiguous(memory_format=torch.channels_last))
        # Losses need at least float32, whatever the precision of the network.
        return logits.to(torch.promote_types(logits.dtype, torch.float32))


# Cached for each network as long as it lives: the order of its layers does not change, and tracing costs as much as
# folding.
_pairs: WeakKeyDictionary[nn.Module, list[tuple[str, str]]] = WeakKeyDictionary()


def norms_behind_convolutions(model: nn.Module) -> list[tuple[str, str]]:
    """Name pairs (convolution, BatchNorm) where the convolution's output goes into this BatchNorm and nowhere else.

    The pairs are read from a `torch.fx` graph of the network; the list is empty if the network cannot be traced.
    """
    try:
        graph = _graph(model)
    except Exception:  # the forward is anybody's code, and fails in whatever way it does under a tracer
        return []
    modules = dict(model.named_modules())
    calls = {node: str(node.target) for node in graph.nodes if node.op == "call_module"}
    counts = Counter(calls.values())
    found = []
    for node, norm in calls.items():
        source = node.args[0] if node.args else None
        if not isinstance(modules[norm], nn.BatchNorm2d) or not isinstance(source, fx.Node) or source not in calls:
            continue
        convolution = calls[source]
        alone = len(source.users) == 1 and counts[norm] == counts[convolution] == 1
        if alone and type(modules[convolution]) is nn.Conv2d:
            found.append((convolution, norm))
    return found


def _graph(model: nn.Module) -> fx.Graph:
    """The graph of module calls in a pass.

    `fx.Tracer` is not used: it replaces `nn.Module.__call__` while it traces, which breaks passes in other threads.
    """
    graph = fx.Graph()
    tracer = GraphAppendingTracer(graph)
    traced = sharing_copy(model)
    for name, module in traced.named_modules():
        # An instance attribute takes precedence over the class's method, and over a parameter.
        if type(module).__module__.startswith("torch.nn") and not isinstance(module, nn.Sequential):
            module.__dict__["forward"] = partial(_called, tracer, name)
            continue
        for own in dict((*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))):
            module.__dict__[own] = tracer.create_proxy("get_attr", f"{name}.{own}".lstrip("."), (), {})
    answer = traced(tracer.create_proxy("placeholder", "images", (), {}))
    tracer.create_proxy("output", "output", (answer,), {})
    return graph


def _called(tracer: TracerBase, name: str, *given: Any, **named: Any) -> fx.Proxy:
    return tracer.create_proxy("call_module", name, given, named)


@torch.no_grad()
def _fold_norms(folded: Folded, pairs: list[tuple[str, str]]) -> None:
    """Fold BatchNorms into the convolutions before them, except where a gate is still attached in between."""
    modules = dict(folded.model.named_modules())
    for convolution, norm in pairs:
        own, behind = modules[convolution], modules[norm]
        if convolution in folded.gates or behind.training:
            continue
        if not isinstance(own, nn.Conv2d) or not isinstance(behind, nn.BatchNorm2d) or behind.running_var is None:
            continue
        # A copy, because other modules may share the filters.
        fused = fuse_conv_bn_eval(own, behind).requires_grad_(False)
        folded.model.set_submodule(convolution, fused)
        folded.model.set_submodule(norm, nn.Identity())
