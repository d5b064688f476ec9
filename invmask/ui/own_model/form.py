"""The form of Own model: the file of weights, the clean images, and what the reader knows already."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import streamlit as st

from invmask import settings
from invmask.errors import UserError, cannot_be_used
from invmask.runs.store.bringings import Bringing, home_bringings
from invmask.ui.shell import address, cache, steering
from invmask.victims.bring_files import CODE, Request

BRING = "bring"
"""The choice in the address that names the request."""
MOST_MB = 1_000
MOST_FILES = 20_000
_KEY = "own-model"
_PROBLEM = f"{_KEY}/problem"
_BELOW = "Below the data folder of the machine that runs this dashboard (INVMASK_DATA)."
_WHERE = {"upload": "Upload", "server": "On the server"}


def show(earlier: Bringing | None) -> None:
    """Draw the form.

    Args:
        earlier: a request that has failed, whose files are used again if no others are given.
    """
    st.segmented_control(
        "Where the files are",
        list(_WHERE),
        key=f"{_KEY}/where",
        default="upload",
        required=True,
        format_func=_WHERE.__getitem__,
        help=f"Upload files of at most {MOST_MB:,} MB, or name files in the data folder of the machine that runs this "
        "dashboard.",
    )
    uploads = st.session_state.get(f"{_KEY}/where", "upload") == "upload"
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        st.markdown("**1 The network**")
        _weights(uploads)
    with right.container(border=True, height="stretch"):
        st.markdown("**2 Clean images**")
        _images(uploads)
    entries = () if earlier is None or (status := earlier.status()) is None else status.entries
    with st.expander("What you know already", icon=":material/settings:", expanded=earlier is not None):
        _known(entries)
    refused = steering.refusal(None)
    again = earlier is not None and not _given(uploads)
    st.button(
        "Try again" if again else "Bring it in",
        key=f"{_KEY}/go",
        type="primary",
        icon=":material/upload_file:",
        disabled=refused is not None,
        on_click=_ask,
        args=(earlier, uploads),
        help="Reads both, recognises the network, and finds out how its images are normalised. Nothing in the files is "
        "executed.",
    )
    if refused is not None:
        st.caption(refused)
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem, icon=":material/error:")


def _weights(uploads: bool) -> None:
    words = "The weights of an image classifier: .safetensors, or what `torch.save` wrote (.pt, .pth, .tar, .th)."
    if uploads:
        st.file_uploader("File of weights", key=f"{_KEY}/weights", max_upload_size=MOST_MB, help=words)
    else:
        st.text_input("Path of the weights", key=f"{_KEY}/weights-path", placeholder="net.pth", help=_BELOW)
    st.caption(words)


def _images(uploads: bool) -> None:
    words = (
        "Twenty of each class are enough. In a folder of classes, each class has a folder of its own. Without classes "
        "the search works too, but ACC is not known."
    )
    if uploads:
        st.file_uploader(
            "Folder of images",
            key=f"{_KEY}/images",
            accept_multiple_files="directory",
            max_upload_size=MOST_MB,
            help=words,
        )
        with st.expander("Or one file"):
            st.file_uploader(
                "Archive (.zip) or arrays (.npz)", ["zip", "npz"], key=f"{_KEY}/archive", max_upload_size=MOST_MB
            )
    else:
        st.text_input(
            "Path of the folder, .zip or .npz", key=f"{_KEY}/images-path", placeholder="pictures", help=_BELOW
        )
    st.caption(words)


def _known(entries: Sequence[str]) -> None:
    """Settings that are found out if they are left empty."""
    st.caption("Leave empty what you do not know: it is found out.")
    if entries:
        st.selectbox("Which weights of the file", entries, key=f"{_KEY}/entry")
    left, right = st.columns(2, gap="medium")
    left.text_input(
        "Architecture", key=f"{_KEY}/architecture", placeholder="recognised", help="As `timm:resnet18`; see the manual."
    )
    right.text_input("Size of images", key=f"{_KEY}/size", placeholder="as they are", help="Height x width: 32x32.")
    usual = "the best of the usual ones"
    left.text_input("Mean", key=f"{_KEY}/mean", placeholder=usual, help="Of images from 0 to 1, as 0.49, 0.48, 0.45.")
    right.text_input("Std", key=f"{_KEY}/std", placeholder=usual, help="As the mean: 0.25, 0.24, 0.26.")
    left.text_area("Names of the outputs, in order", key=f"{_KEY}/listed", placeholder="a name a line", height=100)
    with right:
        st.text_input(
            "Part of the answer", key=f"{_KEY}/part", placeholder="recognised", help="If the network returns several."
        )
        st.checkbox(
            "Take it even if it hardly knows these images",
            key=f"{_KEY}/anyway",
            help="Without this, a network whose clean accuracy is close to chance is refused: something is wrong then.",
        )
    st.caption("A class of your own is code to be run, so only the command takes it: `invmask check FILE --code …`.")


def _given(uploads: bool) -> bool:
    """Whether the reader has given both files in this form."""
    state = st.session_state
    if uploads:
        return bool(state.get(f"{_KEY}/weights")) and bool(state.get(f"{_KEY}/images") or state.get(f"{_KEY}/archive"))
    return bool(state.get(f"{_KEY}/weights-path")) and bool(state.get(f"{_KEY}/images-path"))


def _ask(earlier: Bringing | None, uploads: bool) -> None:
    try:
        steering.check(None)
        if _given(uploads):
            bringing = home_bringings().new()
            request = _uploaded(bringing) if uploads else _on_server()
        elif earlier is not None:
            bringing, request = earlier, earlier.request()
        else:
            raise UserError("Give both a file of weights and clean images.")
        bringing.ask(_with_known(request))
        cache.executor()
        address.choose(BRING, bringing.id)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
    except OSError as error:
        st.session_state[_PROBLEM] = f"{cannot_be_used(error)} Nothing was lost; try again."


def _on_server() -> Request:
    """The files that the reader has named. Only those in the data folder: a visitor shall not look anywhere else."""
    root, found = settings.data_folder().resolve(), []
    for name in ("weights", "images"):
        path = (root / st.session_state[f"{_KEY}/{name}-path"].strip()).resolve()
        if not path.is_relative_to(root):
            raise UserError(f"The {name} have to lie in {root}, the data folder of this machine.")
        found.append(str(path))
    return Request(*found)


def _uploaded(bringing: Bringing) -> Request:
    """Write the uploaded files into the request's directory."""
    weights = st.session_state[f"{_KEY}/weights"]
    path = _write(bringing.path / "weights", weights)
    archive, folder = st.session_state.get(f"{_KEY}/archive"), st.session_state.get(f"{_KEY}/images") or []
    if archive is not None:
        return Request(str(path), str(_write(bringing.path / "images", archive)), title=Path(archive.name).stem)
    if len(folder) > MOST_FILES:
        raise UserError(f"The folder has {len(folder):,} files; give at most {MOST_FILES:,}.")
    places = [PurePosixPath(file.name.replace("\\", "/")) for file in folder]
    for file, place in zip(folder, places, strict=True):
        _write(bringing.path / "images", file, place)
    top = {place.parts[0] for place in places}
    title = top.pop() if len(top) == 1 and all(len(place.parts) > 1 for place in places) else "images"
    # A browser sends the name of the folder itself with each file.
    inside = bringing.path / "images" / _safe(title) if title != "images" else bringing.path / "images"
    return Request(str(path), str(inside if inside.is_dir() else bringing.path / "images"), title=title)


def _write(folder: Path, file: Any, place: PurePosixPath | None = None) -> Path:
    """Write an uploaded file below `folder`, wherever its name points to."""
    parts = (place or PurePosixPath(file.name)).parts
    target = folder.joinpath(*(_safe(part) for part in parts if part not in ("/", ".", "..")))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.getbuffer())
    return target


def _safe(part: str) -> str:
    return part.replace("/", "_").replace("\\", "_").replace("\0", "_")[:120] or "_"


def _with_known(request: Request) -> Request:
    """The request with what the reader has set.

    Raises:
        UserError: something that cannot be read.
    """
    state = {name: str(st.session_state.get(f"{_KEY}/{name}") or "").strip() for name in _FIELDS}
    if state["architecture"].startswith(CODE):
        # A visitor must not have the server run a file, not even one that somebody has agreed to: it would import
        # whatever lies beside it.
        raise UserError("A class of your own is code to be run, so only the command takes it: invmask check --code.")
    return replace(
        request,
        entry=state["entry"] or None,
        architecture=state["architecture"] or None,
        mean=_numbers("mean", state["mean"]),
        std=_numbers("std", state["std"]),
        size=_size(state["size"]),
        listed=tuple(line.strip() for line in state["listed"].splitlines() if line.strip()) or None,
        part=state["part"] or None,
        anyway=bool(st.session_state.get(f"{_KEY}/anyway")),
    )


_FIELDS = ("entry", "architecture", "mean", "std", "size", "listed", "part")


def _numbers(name: str, text: str) -> tuple[float, ...] | None:
    try:
        return tuple(float(part) for part in text.replace(",", " ").split()) or None
    except ValueError as error:
        raise UserError(f"The {name} has to be numbers, one a channel, as 0.485, 0.456, 0.406.") from error


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    parts = text.lower().replace("×", "x").split("x")
    if not 1 <= len(parts) <= 2 or not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise UserError("The size of images has to be height x width, as 32x32.")
    sides = [int(part) for part in parts]
    return sides[0], sides[-1]
