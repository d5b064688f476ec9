"""One export on the page: its button, its progress in the background, and its downloads."""

from collections.abc import Callable

import streamlit as st

from invmask.errors import UserError
from invmask.exports import jobs
from invmask.exports.jobs import STARTING, JobStatus, Kind, Request
from invmask.frames.captions import ordinal
from invmask.runs.store.run import Run
from invmask.ui.shell import run_trouble

LOOK_SECONDS = 1.0
_PROBLEM = "export/problem"
_MIME = {"zip": "application/zip", "html": "text/html", "gif": "image/gif"}
_SIZES = ("bytes", "kB", "MB", "GB")


def make_button(label: str, run: Run, request: Request, disabled: bool = False, help: str | None = None) -> None:  # noqa: A002
    """A button that starts the export, or shows it again if it was made before."""
    st.button(
        label,
        key=f"export/make/{request.kind}",
        icon=":material/deployed_code:",
        disabled=disabled,
        on_click=_start,
        args=(run, request),
        help=help,
    )


def show_job(run: Run, kind: Kind, words: Callable[[Request], str]) -> None:
    """Draw the run's latest export of this kind, from any reader; nothing if there is none.

    Args:
        words: describes a request in a few words.
    """
    problem = st.session_state.pop(f"{_PROBLEM}/{kind}", None)
    if problem:
        st.error(problem)
    found = jobs.latest(run, kind)
    working = found is not None and found[1].state in jobs.UNDER_WAY
    st.fragment(_draw, run_every=LOOK_SECONDS if working else None)(run, kind, words, working)


def _start(run: Run, request: Request) -> None:
    try:
        jobs.start(run, request)
    except UserError as error:
        st.session_state[f"{_PROBLEM}/{request.kind}"] = str(error)


def _draw(run: Run, kind: Kind, words: Callable[[Request], str], working: bool) -> None:
    run_trouble.follow(run.id)
    found = jobs.latest(run, kind)
    if found is None:
        return
    request, status = found
    if (status.state in jobs.UNDER_WAY) != working:
        st.rerun()
    with st.container(border=True, key=f"export-job-{kind}"):
        if status.state == "waiting":
            # After a restart of the dashboard, only this call continues the queue.
            jobs.tend(run)
            st.progress(0.0, text=_waiting(jobs.place(run, request)))
        elif status.state == "working":
            st.progress(min(1.0, status.done / max(1, status.total)), text=_progress(status))
        elif status.state == "failed":
            st.error(" ".join(status.notes), icon=":material/error:")
        else:
            _done(run, request, status)
        st.caption(words(request))


def _waiting(place: int | None) -> str:
    """`2nd in the queue: exports are made one after the other`; the first job does not wait for others."""
    if place is None or place == 1:
        return STARTING
    return f"{ordinal(place)} in the queue: exports are made one after the other"


def _progress(status: JobStatus) -> str:
    if not status.doing or status.doing == STARTING:
        return STARTING
    doing = status.doing
    return f"{doing} ({status.done + 1} of {status.total})" if status.done < status.total else doing


def _done(run: Run, request: Request, status: JobStatus) -> None:
    if status.agrees is False:
        st.error("An exported model does not answer as the masked one: do not use it.", icon=":material/error:")
    for note in status.notes:
        if status.agrees:
            st.success(note, icon=":material/check:")
        else:
            st.warning(note, icon=":material/info:")
    folder = jobs.folder_of(run, request)
    with st.container(horizontal=True):
        for name in status.files:
            path = folder / name
            kind = path.suffix.removeprefix(".")
            st.download_button(
                f"Download {_label(name)} ({size(path.stat().st_size)})",
                path.read_bytes,
                name,
                _MIME.get(kind, "application/octet-stream"),
                key=f"export/download/{name}",
                on_click="ignore",
                type="primary",
                icon=":material/download:",
            )


def _label(name: str) -> str:
    if name.endswith("-mask.safetensors"):
        return "the mask"
    if name.endswith("-replay.html"):
        return "the replay"
    return {"zip": "the archive", "gif": "the moving picture", "html": "the report", "onnx": "ONNX"}.get(
        name.rpartition(".")[2], "safetensors"
    )


def size(number: float) -> str:
    """`2.8 MB`."""
    place = 0
    while number >= 1000 and place < len(_SIZES) - 1:
        number, place = number / 1000, place + 1
    return f"{number:.1f} {_SIZES[place]}" if place else f"{number:.0f} {_SIZES[place]}"
