"""The repaired model as a checked file, safetensors or ONNX, with a view's gates folded into the weights.

Both models map images, float32 [N, C, H, W] in [0, 1] with any N, to logits [N, K]. The ONNX model contains the input
normalisation. A `state_dict` cannot contain it, so mean and standard deviation are in its metadata.
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
from invmask.victims.bring import MODULE
from invmask.victims.own_names import file_names, in_file, load_from_file
from invmask.victims.victim import new_model

KIND = "model"
OPSET = 20
"""ONNX operator set; read by onnxruntime 1.17 and newer."""
INPUT, OUTPUT = "images", "logits"
GATE_PREFIX = "gate:"
"""Prefix of the layer's name for gates that could not be folded and have to multiply the layer's output."""


def write_weights(path: Path, source: MaskSource, view: View, test: LabelledImages | None = None) -> Agreement:
    """Write the `state_dict` of the victim's network with the view folded in, as safetensors, and check the file.

    The tensors of a model of one's own have the names that they have in the file it came in.

    Args:
        test: images for the check; None for all embedded test images.

    Returns:
        How well the outputs of the file and of the view agree.

    Raises:
        OSError: the file cannot be written.
    """
    folded = _folded(source, view)
    network: torch.nn.Module = folded.model.network  # type: ignore[assignment]
    card = source.victim.card
    tensors = in_file(card, network)
    tensors |= {GATE_PREFIX + name: gate.contiguous() for name, gate in folded.gates.items()}
    more = {"names": dict(names)} if (names := file_names(card)) else {}
    files.write_bytes(path, save(tensors, source.metadata(view, kind=KIND, **more)))
    # A network in memory cannot be built again from its file.
    run = folded.run if card.architecture == MODULE else read_weights(path).run
    return compare(source, view, run, test)


def _folded(source: MaskSource, view: View) -> Folded:
    model, gates = source.parts(view)
    return fold(model, source.layout, gates)


def read_weights(path: Path) -> Folded:
    """Read the model in a file that `write_weights` wrote, ready to run on images in [0, 1].

    Raises:
        UserError: it is not such a file.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[METADATA_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (no dict)
        gates = {
            key.removeprefix(GATE_PREFIX): tensors.pop(key) for key in list(tensors) if key.startswith(GATE_PREFIX)
        }
        model = new_model(
            about["dataset"], about["architecture"], about.get("reading", ""), about.get("masked_layers", ())
        )
        load_from_file(model.network, tensors, about.get("names", {}))  # type: ignore[arg-type]
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{path} is not a model that invmask wrote; export it again.") from error
    model.requires_grad_(False).eval()
    return Folded(model, MaskLayout.of(model), gates)


def write_onnx(path: Path, source: MaskSource, view: View, test: LabelledImages | None = None) -> Agreement:
    """Write the whole classifier with the view folded in, as ONNX, and check the file with onnxruntime.

    Args:
        test: images for the check; None for all embedded test images.

    Returns:
        How well the outputs of the file and of the view agree.

    Raises:
        OSError: the file cannot be written.
    """
    content = onnx_bytes(_folded(source, view), source, view)
    files.write_bytes(path, content)
    return compare(source, view, onnx_model(path), test)


def onnx_bytes(folded: Folded, source: MaskSource, view: View) -> bytes:
    """The ONNX file's content. This takes some seconds, and torch's exporter blocks other threads of the process."""
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
    """An ONNX file as a function from images [N, C, H, W] in [0, 1] to logits [N, K]; onnxruntime runs one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])

    return run


def _forget_the_machine(proto: Any) -> None:
    """Remove the source file paths of this machine, which the exporter stores with every node."""
    del proto.metadata_props[:]
    graph = proto.graph
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del part.metadata_props[:]
        if hasattr(part, "doc_string"):
            part.doc_string = ""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's progress messages and deprecation warnings."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
