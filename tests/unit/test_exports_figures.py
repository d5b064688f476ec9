"""Figures as files: the numbers are the figure's own, print has its size, archives and reports hold what they say."""

import asyncio
import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from invmask.errors import UserError
from invmask.exports import images
from invmask.exports.archive import FORMATS, write_archive, write_figures
from invmask.exports.book import BOOK, entries_of
from invmask.exports.captions import caption
from invmask.exports.data import figure_csv, figure_table
from invmask.exports.records import RunRecords, read_records
from invmask.exports.report import report
from invmask.figures.palette import VIEW_COLOURS
from invmask.figures.paper import DRAWN_WIDTH, for_column, on_paper
from invmask.runs import tuning
from invmask.runs.advance import advance
from invmask.runs.cutting import measure_cuts
from invmask.runs.run import Run
from invmask.runs.store import RunStore
from invmask.runs.wants import Goal, Want, write_want
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec, write_victims


def make_run(home: Path, victim: str = VICTIM) -> Run:
    write_victims(home / "victims")
    run = RunStore(home / "runs").create(small_spec(victim, versions={"torch": "2.15.0"}))
    write_want(run.path, Want(Goal.ADVANCE, 4))
    advance(run.path)
    return run


@pytest.fixture
def records(own_home: Path) -> RunRecords:
    return read_records(make_run(own_home))


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVMASK_CHROMIUM", str(tmp_path / "none"))


def by_name(records: RunRecords, name: str) -> go.Figure:
    (entry,) = entries_of(records, [name])
    return entry.draw(records, "light")


def test_csv_holds_every_number_of_the_curves(records: RunRecords):
    figure = by_name(records, "defend-measures")
    table = pd.read_csv(io.StringIO(figure_csv(figure)))
    assert list(table.columns) == ["panel", "trace", "round", "y, %"]
    for trace in figure.data:
        rows = table[(table.panel == trace.meta) & (table.trace == trace.name)]
        np.testing.assert_allclose(rows["round"], trace.x)
        np.testing.assert_allclose(rows["y, %"], trace.y)
    assert len(table) == sum(len(trace.x) for trace in figure.data)


def test_csv_holds_colours_bases_and_what_is_kept_beside(records: RunRecords):
    figure = by_name(records, "defend-map-selection")
    table = figure_table(figure)
    cells = table[table.trace == "channels"]
    np.testing.assert_allclose(cells["Selection score 1 - s"], figure.data[0].marker.color)
    np.testing.assert_allclose(cells["base"], np.asarray(figure.data[0].base, float))
    assert cells["hovertext"].iloc[0].startswith("conv1, channel 0; mask a")
    selected = table[table.trace == "selected"]
    assert list(selected["detail 3"]) == list(figure.data[1].customdata[:, 2])
    pixels = figure_table(by_name(records, "start-trigger"))
    picture = np.asarray(by_name(records, "start-trigger").data[0].z)
    np.testing.assert_array_equal(pixels[["red", "green", "blue"]].head(1024), picture.reshape(-1, 3))


def test_other_traces_make_tables_too():
    grid = go.Figure(
        go.Heatmap(z=[[1, 2], [3, 4]], x=["a", "b"]), layout={"xaxis": {"title": {"text": "<b>Class</b>"}}}
    )
    table = figure_table(grid)
    assert table.to_dict("list") == {
        "trace": ["heatmap 1"] * 4,
        "Class": ["a", "b"] * 2,
        "y": [0, 0, 1, 1],
        "z": [1, 2, 3, 4],
    }
    assert figure_table(go.Figure()).empty


@pytest.mark.parametrize("victim", [VICTIM, CONTROL])
def test_every_figure_of_the_book_can_be_drawn_told_of_and_tabled(own_home: Path, victim: str):
    run = make_run(own_home, victim)
    assert not any(name.startswith("tune") for name in (entry.name for entry in entries_of(read_records(run, 2))))
    tuning.ERRAND.ask(run, 2)
    measure_cuts(run.path)
    records = read_records(run, 2)
    entries = entries_of(records)
    assert {entry.name for entry in entries} == {e.name for e in BOOK} - (
        {"start-trigger"} if victim == CONTROL else set()
    )
    for entry in entries:
        figure = for_column(entry.draw(records, "paper"))
        assert (figure.layout.width, figure.layout.template.layout.paper_bgcolor) == (333, "#FFFFFF")
        assert len(figure_table(figure)) > 0
        words = caption(entry, records)
        for part in (victim, "SPC 1", "seed 0", "after round 2 of 4", "inner_steps 2", "torch", "invmask"):
            assert part in words
        assert ("n = " in words or "Measured on" in words) == (entry.n is not None)
    assert len({entry.name for entry in BOOK}) == len(BOOK)


def test_print_keeps_proportions_and_letters_of_seven_points():
    screen = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], line={"width": 2}, marker={"size": [6, 9]}))
    screen.update_layout(height=300, font={"size": 12}, margin={"l": 42}, xaxis={"range": [0, 5]})
    screen.add_bar(x=[1], y=[1], width=[0.5])
    printed = for_column(screen)
    factor = printed.layout.width / DRAWN_WIDTH
    assert printed.layout.width == round(88 / 25.4 * 96)
    assert printed.layout.height == round(300 * factor)
    assert printed.layout.font.size * 72 / 96 >= 7
    assert (printed.data[0].line.width, printed.layout.margin.l) == pytest.approx((2 * factor, 42 * factor))
    assert list(printed.data[0].marker.size) == pytest.approx([6 * factor, 9 * factor])
    assert (printed.data[1].width, tuple(printed.layout.xaxis.range)) == ((0.5,), (0, 5))
    assert screen.layout.width is None


def test_a_dark_figure_is_light_on_paper(records: RunRecords):
    (entry,) = entries_of(records, ["defend-measures"])
    printed = on_paper(entry.draw(records, "dark"))
    assert {trace.line.color for trace in printed.data} == set(VIEW_COLOURS.values())
    assert printed.layout.template.layout.paper_bgcolor == "#FFFFFF"
    (entry,) = entries_of(records, ["defend-map-inverse"])
    scale = on_paper(entry.draw(records, "dark")).layout.coloraxis.colorscale
    wanted = entry.draw(records, "paper").layout.coloraxis.colorscale
    assert [colour.lower() for _, colour in scale] == [colour.lower() for _, colour in wanted]


def test_an_archive_holds_every_format_of_every_figure(records: RunRecords, tmp_path: Path):
    names = ["defend-measures", "flip-probabilities"]
    steps = []
    made = write_archive(tmp_path / "a.zip", records, FORMATS, names, lambda *step: steps.append(step))
    assert made.problems == ()
    assert [step[:2] for step in steps] == [(0, 2), (1, 2), (2, 2)]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert set(archive.namelist()) == {f"{name}.{kind}" for name in names for kind in (*FORMATS, "txt")}
        svg = archive.read("defend-measures.svg").decode()
        assert 'width="333"' in svg
        assert all(label in svg for label in ("ACC, clean accuracy", "RA, recovery accuracy", "round", "50 %"))
        assert archive.read("defend-measures.pdf").startswith(b"%PDF")
        with Image.open(io.BytesIO(archive.read("defend-measures.png"))) as picture:
            assert picture.width == pytest.approx(88 / 25.4 * 300, abs=2)
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
        page = archive.read("flip-probabilities.html").decode()
        assert "probability, %" in page
        assert "<script src" not in page
        table = archive.read("defend-measures.csv").decode()
        assert table == figure_csv(by_name(records, "defend-measures"))
        assert VICTIM in archive.read("defend-measures.txt").decode()


@pytest.mark.usefixtures("no_browser")
def test_without_a_browser_the_rest_is_made_all_the_same(records: RunRecords, tmp_path: Path):
    made = write_figures(tmp_path / "out", records, ["svg", "csv"], ["defend-losses"])
    assert made.names == ("defend-losses.csv", "defend-losses.txt")
    assert made.problems == (images.NO_BROWSER,)


def test_a_browser_that_does_not_start_is_told_of(records: RunRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "invmask.exports.archive.Renderer.open", lambda _: (_ for _ in ()).throw(OSError("it is broken"))
    )
    made = write_figures(tmp_path, records, ["png", "csv"], ["defend-losses"])
    assert made.names == ("defend-losses.csv", "defend-losses.txt")
    assert "it is broken" in made.problems[0]


def test_the_report_opens_by_itself_and_has_everything_once(records: RunRecords):
    page = report(records)
    assert page.count("<figure>") == len(entries_of(records))
    assert 4e6 < len(page) < 8e6
    assert "<script src" not in page
    for part in (VICTIM, "ACC, clean accuracy", "inner_steps 2", records.run.id, "After round 4 of 4", "torch"):
        assert part in page
    share = records.frame.views.pruned.acc
    assert f"{100 * share:.1f} %" in page


def test_wrong_names_and_rounds_get_a_sentence(records: RunRecords, own_home: Path, tmp_path: Path):
    with pytest.raises(UserError, match="it has: start-trigger"):
        entries_of(records, ["nothing"])
    with pytest.raises(UserError, match="choose from: svg"):
        write_figures(tmp_path, records, ["gif"])
    with pytest.raises(UserError, match="No format"):
        write_figures(tmp_path, records, [])
    with pytest.raises(UserError, match="no round 9"):
        read_records(records.run, 9)
    with pytest.raises(UserError, match="no rounds yet"):
        read_records(RunStore(own_home / "runs").create(small_spec()))


def test_pictures_are_drawn_where_an_event_loop_runs_already():
    async def draw() -> bytes:
        with images.Renderer(images.find_browser()) as renderer:
            return renderer.draw(go.Figure(layout={"width": 200, "height": 100}), "svg")

    # In a thread of our own: the browser tests leave a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(asyncio.run, draw()).result().startswith(b"<svg")
