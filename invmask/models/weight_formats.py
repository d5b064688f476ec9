"""What a file of weights is, from its content rather than its name; and for each that cannot be read, a way out."""

import shlex
import zipfile
from pathlib import Path

from invmask.errors import UserError

SAFETENSORS, TORCH, EXPORTED = "safetensors", "torch.save", "torch.export"
_HEAD_BYTES = 512
_MOST_MEMBERS = 200_000
_SAVE = "torch.save(network.state_dict(), 'weights.pt')"


def format_of(path: Path) -> str:
    """The format of a file that can be read: SAFETENSORS, TORCH or EXPORTED.

    Raises:
        UserError: another format; the sentence names it, and how to make a file that can be read.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise UserError(f"{path.name} is empty; get it again.")
    if zipfile.is_zipfile(path):
        return _format_of_zip(path)
    words = _by_beginning(path, head)
    if words:
        raise UserError(f"{path.name} {words}")
    # A safetensors file begins with the length of its header in 8 bytes, and then a brace.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return SAFETENSORS
    if _is_onnx(path, head):
        raise UserError(f"{path.name} {_onnx()}")
    return TORCH


def script_command(path: Path) -> str:
    """The command that stores the weights of a TorchScript archive by themselves. It loads what the file holds."""
    inside = f"torch.jit.load({path.name!r}, 'cpu')"
    return _command(f"import torch; torch.save({inside}.state_dict(), 'weights.pt')")


def module_command(path: Path) -> str:
    """The command that stores the weights of a whole pickled network. It runs what the file says."""
    inside = f"torch.load({path.name!r}, 'cpu', weights_only=False)"
    return _command(f"import torch; torch.save({inside}.state_dict(), 'weights.pt')")


def _command(code: str) -> str:
    plain = not set(code) & set('"$`\\!')
    return f'python -c "{code}"' if plain else f"python -c {shlex.quote(code)}"


def _format_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist()[:_MOST_MEMBERS]]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is a damaged archive; get it again.") from error
    last = {name.rpartition("/")[2] for name in names}
    if "model_weights_config.json" in last or "serialized_state_dict.pt" in last:
        return EXPORTED
    if "constants.pkl" in last and any("/code/" in f"/{name}" for name in names):
        raise UserError(
            f"{path.name} is a TorchScript archive, a program together with its weights; if you trust it, take the "
            f"weights out with: {script_command(path)}"
        )
    if "data.pkl" in last:
        return TORCH
    if "config.json" in last and any(name.endswith(".h5") for name in last):
        raise UserError(f"{path.name} {_keras()}")
    if any(name.endswith(".npy") for name in last):
        raise UserError(
            f"{path.name} is a NumPy archive; if it holds a network's weights, put them into the network in PyTorch "
            f"and store them with: {_SAVE}"
        )
    inside = sorted(name for name in names if name.endswith((".pt", ".pth", ".safetensors", ".tar")))
    there = f" It holds {inside[0][:80]}." if inside else ""
    raise UserError(f"{path.name} is a zip archive; unpack it and give the file of weights in it.{there}")


def _by_beginning(path: Path, head: bytes) -> str:
    """The rest of a sentence about a format that is known by its first bytes; empty if it is none of these."""
    text = head.lstrip().lower()
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return _keras()
    if text.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a file of weights; download the file itself, by the page's own download button."
    if head.startswith(b"version https://git-lfs"):
        return "is only a pointer of Git LFS; fetch the file itself with: git lfs pull"
    if head[257:262] == b"ustar" or head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")):
        return "is a packed archive; unpack it and give the file of weights in it."
    if head.startswith(b"GGUF"):
        return "is a GGUF file, for language models; give the weights of an image classifier."
    if head.startswith(b"\x93NUMPY"):
        return f"is a single NumPy array, not a network's weights; store them in PyTorch with: {_SAVE}"
    if text.startswith((b"{", b"[")) and path.suffix == ".json":
        return "is a JSON file, not weights; give the .safetensors or .bin file beside it."
    return ""


def _is_onnx(path: Path, head: bytes) -> bool:
    # The first field of an ONNX file is the version of its format, a small number; protobuf has no other mark.
    following = (b"\x12", b"\x1a", b"\x22", b"\x2a", b"\x3a", b"B")
    if not (head[:1] == b"\x08" and head[1:2] < b"\x40" and head[2:3] in following):
        return False
    import onnx

    try:
        return bool(onnx.load_model(path, load_external_data=False).graph.node)
    except Exception:  # its parser's errors belong to another package
        return path.suffix == ".onnx"


def _onnx() -> str:
    # onnx2torch 1.5.15 (the latest, of 2024) does not read what today's PyTorch exports.
    return (
        "is an ONNX model, in which BatchNorm is merged with the convolutions; give the weights that it was exported "
        f"from, stored in PyTorch with: {_SAVE}"
    )


def _keras() -> str:
    return (
        "is an HDF5 file, as Keras stores networks; build the network in PyTorch, copy the weights, and store them "
        f"with: {_SAVE}"
    )
