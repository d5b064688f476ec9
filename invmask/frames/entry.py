"""One figure of the book."""

from collections.abc import Callable
from dataclasses import dataclass

import plotly.graph_objects as go

from invmask.figures.palette import Theme
from invmask.frames.run_records import RunRecords
from invmask.measure.metrics import Measures

Draw = Callable[[RunRecords, Theme], go.Figure]


@dataclass(frozen=True)
class Entry:
    """One figure of the book.

    Attributes:
        name: its name in file names and on the command line.
        page: the page of the dashboard that shows it.
        title: its title, a few words.
        caption: what it shows, in one or two sentences; `captions.caption` adds victim, settings and n.
        draw: draws the figure from a run's records in a theme.
        exists: whether a run has the figure.
        n: gives the number of images behind the figure, in words; None if nothing is measured, for this run or for any.
        which: gives a sentence about the sample, channel or runs that it shows; None if there is no choice.
    """

    name: str
    page: str
    title: str
    caption: str
    draw: Draw
    exists: Callable[[RunRecords], bool] = lambda _: True
    n: Callable[[RunRecords], str | None] | None = None
    which: Callable[[RunRecords], str] | None = None

    def words(self, records: RunRecords) -> str:
        """The caption, and the sentence about what it shows."""
        return self.caption if self.which is None else f"{self.caption} {self.which(records)}"

    def measured(self, records: RunRecords) -> str | None:
        """`n = 200 clean test images`, the number of images behind the figure; None if nothing is measured."""
        return None if self.n is None else self.n(records)


def measured_on(measures: Measures) -> str:
    """`n = 200 clean and 180 triggered test images`."""
    more = f" and {measures.n_triggered:,} triggered" if measures.n_triggered else ""
    return f"n = {measures.n_clean:,} clean{more} test images"


def on_probe(records: RunRecords) -> str:
    """`n` for measures on the run's probe."""
    return measured_on(records.frame.views.original)


def triggered(records: RunRecords) -> bool:
    """Whether the victim has a trigger."""
    return records.has_trigger
