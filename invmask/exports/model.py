"""The repaired model as a file: a view's gates folded into the weights, as safetensors or as ONNX, and checked.

Both take images in [0, 1], N x C x H x W, float32, N free, and give logits, N x K. In ONNX the normalisation is
inside; a `state_dict` has no place for it, so mean and standard deviation are in its metadata.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from invmask.data.images import LabelledImages
from invmask.errors import UserError
from invmask.exports.model_agreement import Agreement, compare
from invmask.exports.source import METADATA_KEY, MaskSource
from invmask.masks.attach import attached
from invmask.masks.fold import Folded, fold
from invmask.masks.state import MaskLayout, View
from invmask.runs.store import files
from invmask.victims.victim import new_model

KIND = "model"
OPSET = 20
"""ONNX operator set; read by onnxruntime 1.17 and newer."""
INPUT, OUTPUT = "images", "logits"
GATE_PREFIX = "gate:"
"""Before a layer's name: gates that could not be folded, to multiply the layer's output by."""


def write_weights(path: Path, source: MaskSource, view: View, test: LabelledImages | None = None) -> Agreement:
    """The `state_dict` of the victim's network with the view folded in, as safetensors; checked by reading it back.

    Args:
        test: images to check on; all embedded test images if None.

    Raises:
        OSError: the file cannot be written.
    """
    folded = _folded(source, view)
    network: torch.nn.Module = folded.model.network  # type: ignore[assignment]
    tensors = {key: value.detach().clone().contiguous() for key, value in network.state_dict().items()}
    tensors |= {GATE_PREFIX + name: gate.contiguous() for name, gate in folded.gates.items()}
    files.write_bytes(path, save(tensors, source.metadata(view, kind=KIND)))
    return compare(source, view, read_weights(path).run, test)


def _folded(source: MaskSource, view: View) -> Folded:
    model, gates = source.parts(view)
    return fold(model, source.layout, gates)


def read_weights(path: Path) -> Folded:
    """The model in a file that `write_weights` wrote, ready to run on images in [0, 1].

    Raises:
        UserError: not such a file.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[METADATA_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no dict)
        gates = {
            key.removeprefix(GATE_PREFIX): tensors.pop(key) for key in list(tensors) if key.startswith(GATE_PREFIX)
        }
        model = new_model(about["dataset"], about["architecture"])
        model.network.load_state_dict(tensors)
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{path} is not a model that invmask wrote; export it again.") from error
    model.requires_grad_(False).eval()
    return Folded(model, MaskLayout.of(model), gates)


def write_onnx(path: Path, source: MaskSource, view: View, test: LabelledImages | None = None) -> Agreement:
    """The whole classifier with the view folded in, as ONNX; checked in onnxruntime.

    Args:
        test: images to check on; all embedded test images if None.

    Raises:
        OSError: the file cannot be written.
    """
    content = onnx_bytes(_folded(source, view), source, view)
    files.write_bytes(path, content)
    return compare(source, view, onnx_model(path), test)


def onnx_bytes(folded: Folded, source: MaskSource, view: View) -> bytes:
    """The file's content. Takes some seconds, and torch's exporter holds up other threads of the process."""
    example = torch.zeros(2, *source.victim.card.dataset_info.shape)
    rest = folded.remaining()
    still = attached(folded.model, folded.layout, rest) if rest is not None else contextlib.nullcontext()
    with still, _quiet():
        program = torch.onnx.export(
            folded.model,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _forget_the_machine(proto)
    for key, value in source.metadata(view, kind=KIND).items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()


def onnx_model(path: Path) -> Callable[[Tensor], Tensor]:
    """An ONNX file as a function from images [N, C, H, W] to logits [N, K], run by onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return run


def _forget_the_machine(proto: Any) -> None:
    """The exporter notes with every node where in which file its source lies: nothing to hand on."""
    del proto.metadata_props[:]
    graph = proto.graph
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.doc_string = ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter tells of its progress and its own future is nothing to the reader."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
