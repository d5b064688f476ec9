"""Figures as SVG, PDF and PNG, drawn by Kaleido in the Chrome or Chromium of the machine."""

import asyncio
import os
import shutil
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, cast, get_args

import plotly.graph_objects as go

from invmask.figures.paper import scale_to_dpi

Result = TypeVar("Result")
ImageFormat = Literal["svg", "pdf", "png"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
NO_BROWSER = (
    "SVG, PDF and PNG need Chrome or Chromium on this machine and there is none: install one, or set INVMASK_CHROMIUM "
    "to its program; everything else was made."
)
SECONDS = 60


def find_browser() -> str | None:
    """The path of Chrome or Chromium; None if there is none. If INVMASK_CHROMIUM is set, only this path is used."""
    given = os.environ.get("INVMASK_CHROMIUM")
    if given:
        return shutil.which(given)
    found = (shutil.which(name) for name in NAMES)
    return next((path for path in (*found, *APPLICATIONS) if path and Path(path).is_file()), None)


class Renderer:
    """One browser for any number of figures. It is a context manager, and may be opened before the block.

    Args:
        program: from `find_browser`.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self._runner = asyncio.Runner()
        # Use a separate thread: the caller's thread may run an event loop already, and cannot run a second one.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="invmask-kaleido")

    def _run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return self._thread.submit(self._runner.run, coroutine).result()

    def _end(self) -> None:
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()

    def open(self) -> Self:
        """Start the browser.

        Raises:
            OSError: it does not start.
        """
        from kaleido import Kaleido, PageGenerator

        class Page(PageGenerator):
            # Kaleido prints PDF with margins, which would shrink the figure and cut off its bottom.
            header = PageGenerator.header + "<style>@page{margin:0}img{display:block}</style>"

        async def start() -> Kaleido:
            # Without MathJax, which Kaleido would download; no figure contains a formula.
            page = Page(mathjax=False)
            return await Kaleido(path=self._program, page_generator=page, timeout=SECONDS).__aenter__()

        try:
            self._kaleido = self._run(start())
        except Exception as error:
            self._end()
            raise OSError(f"{self._program} does not start") from error
        return self

    def __enter__(self) -> Self:
        return self if hasattr(self, "_kaleido") else self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._run(self._kaleido.__aexit__(kind, error, at))
        finally:
            self._end()

    def draw(self, figure: go.Figure, image_format: ImageFormat) -> bytes:
        """Draw the figure at its own size; returns the file's content. PNG has 300 dots per inch.

        Raises:
            OSError: the browser gave no picture.
        """
        scale = scale_to_dpi() if image_format == "png" else 1
        options = {"format": image_format, "scale": scale}
        try:
            content = self._run(self._kaleido.calc_fig(figure, opts=cast(Any, options)))
        except Exception as error:
            raise OSError(f"{self._program} gave no picture: {error}") from error
        return _with_dpi(content) if image_format == "png" else content


def _with_dpi(content: bytes) -> bytes:
    """The PNG with its resolution, and so its size on paper, in the metadata."""
    import io

    from PIL import Image

    from invmask.figures.paper import DPI

    out = io.BytesIO()
    with Image.open(io.BytesIO(content)) as picture:
        picture.save(out, "PNG", dpi=(DPI, DPI), optimize=True)
    return out.getvalue()
