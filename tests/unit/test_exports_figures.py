"""Figures as files: the numbers are the figure's own, print has its size, archives and reports hold what they say."""

import asyncio
import html
import io
import json
import re
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image

from invmask.defenses.ims.config import IMSConfig, preset
from invmask.errors import UserError
from invmask.evidence.activation import feature_maps
from invmask.exports import images
from invmask.exports.archive import FORMATS, write_archive, write_figures
from invmask.exports.book import BOOK, entries_of
from invmask.exports.data import figure_csv, figure_table
from invmask.exports.report import report
from invmask.figures.channels import ChannelState, channel_map
from invmask.figures.lettering import text_width
from invmask.figures.network_map import ChannelValues, network_map
from invmask.figures.palette import VIEW_COLOURS, Theme
from invmask.figures.paper import DRAWN_WIDTH, FACTOR, for_column, on_paper
from invmask.figures.tune import SweepPoint, cut_curves, sweep_curves
from invmask.frames import one_channel
from invmask.frames.captions import caption, provenance, setting_title
from invmask.frames.curves import finished_along, is_curve
from invmask.frames.run_records import Picks, RunRecords, read_records
from invmask.masks.state import GATED, MaskLayout
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunResult, RunState, RunSummary
from invmask.runs.store.run import Run
from invmask.runs.work import cut_curves as tuning
from invmask.runs.work import evidence, gather_evidence, measure_cuts
from invmask.runs.work.scores import run_scores
from tests.unit.run_helpers import CONTROL, VICTIM, small_spec, taken, write_victims
from tests.unit.test_figures_defend import Layer


def make_run(home: Path, victim: str = VICTIM, rounds: int = 4) -> Run:
    write_victims(home / "victims")
    return taken(home, small_spec(victim, versions={"torch": "2.15.0"}), rounds)


@pytest.fixture
def records(own_home: Path) -> RunRecords:
    return read_records(make_run(own_home))


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVMASK_CHROMIUM", str(tmp_path / "none"))


def by_name(records: RunRecords, name: str, theme: Theme = "light") -> go.Figure:
    (entry,) = entries_of(records, [name])
    return entry.draw(records, theme)


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
    figure = by_name(records, "defend-map-selection", "paper")
    table = figure_table(figure)
    cells = table[table.trace == "channels"]
    np.testing.assert_allclose(cells["Selection 1 − s"], figure.data[0].marker.color)
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


BEFORE_EVIDENCE = {"neurons-map-score", "neurons-map-selection", "neurons-map-synthesized", "neurons-agreement"}
OF_DEFEND = {"defend-map-selection", "defend-map-pruned", "defend-map-inverse"}
OF_A_SEARCH = "defend-candidates"
OF_A_BACKDOOR = {
    "start-trigger",
    *(f"neurons-{what}-{name}" for what in ("map", "top") for name in ("trigger", "conductance", "asr")),
}


@pytest.mark.parametrize("victim", [VICTIM, CONTROL])
def test_every_figure_of_the_book_can_be_drawn_told_of_and_tabled(
    own_home: Path, victim: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evidence, "PER_CLASS", 1)
    monkeypatch.setattr(gather_evidence, "CONDUCTANCE_IMAGES", 1)
    run = make_run(own_home, victim, 5)
    early = {entry.name for entry in entries_of(read_records(run, 4))}
    assert not any(name.startswith(("tune", "neurons-top")) for name in early)
    assert {name for name in early if "-map-" in name or "agree" in name} - OF_DEFEND == BEFORE_EVIDENCE
    tuning.ERRAND.ask(run, 4)
    measure_cuts.measure_cuts(run.path)
    evidence.ask(run, 4)
    gather_evidence.gather(run.path)
    whole = evidence.victim_evidence(run)
    assert whole is not None
    # What is known of some channels only is no figure yet.
    evidence.write_victim_evidence(run, replace(whole, done=whole.done - 1))
    assert {e.name for e in entries_of(read_records(run, 4)) if "neurons-map" in e.name} < BEFORE_EVIDENCE
    evidence.write_victim_evidence(run, whole)
    # Finished runs with other settings stand beside this one.
    summary = replace(run.summary(), state=RunState.FINISHED, result=finished(run))
    beside = [replace(summary, spec=replace(summary.spec, spc=2))] + [
        replace(summary, spec=replace(summary.spec, config=replace(summary.spec.config, **{axis: 0.5 * value})))
        for axis, value in (("sparsity_weight", 10.0), ("steepness", 20.0), ("weight_pruned_clean", 1.0))
    ]
    monkeypatch.setattr(RunRecords, "_all_runs", [summary, *beside])
    records = read_records(run, 4)
    entries = entries_of(records)
    missing = {OF_A_SEARCH} | (OF_A_BACKDOOR if victim == CONTROL else set())
    assert {entry.name for entry in entries} == {e.name for e in BOOK} - missing
    wide = replace(records, wide=True)
    # What took forward passes is the same at any width.
    wide.__dict__.update({name: value for name, value in records.__dict__.items() if name not in ("wide", "frame")})
    for entry in entries:
        narrow_table = None
        for each, width_mm, pixels in ((records, 88, 333), (wide, 180, 680)):
            drawn = entry.draw(each, "paper")
            figure = for_column(drawn, width_mm)
            assert (figure.layout.width, figure.layout.template.layout.paper_bgcolor) == (pixels, "#FFFFFF")
            assert_legible(figure)
            table = figure_table(figure)
            assert len(table) > 0
            # The width changes where things stand, not what is told.
            narrow_table = table if narrow_table is None else narrow_table
            assert len(table) == len(narrow_table)
            assert set(table["trace"]) == set(narrow_table["trace"])
        words = caption(entry, records)
        for part in (victim, "SPC 1", "seed 0", "after round 4 of 5", "preset paper", "torch", "invmask"):
            assert part in words
        assert_reads_well(words)
        assert ("n = " in words or "Measured on" in words) == (entry.n is not None)
    assert len({entry.name for entry in BOOK}) == len(BOOK)


def assert_legible(figure: go.Figure) -> None:
    """In print: letters of 7 points or more, names of an axis in the margin before it, and names of lines behind."""
    sizes = re.findall(r'"[a-z]*font":\s*{[^{}]*"size":\s*([\d.]+)', figure.to_json(), re.IGNORECASE)
    assert min(map(float, sizes)) * 72 / 96 >= 7
    layout = figure.layout
    for key in [key for key in layout if re.fullmatch(r"yaxis\d*", key)]:
        axis = layout[key]
        size = axis.tickfont.size or layout.template.layout.yaxis.tickfont.size
        if axis.ticktext is None or axis.visible is False or axis.showticklabels is False:
            continue
        if (layout[f"xaxis{key[5:]}"].domain or (0, 1))[0] > 0:
            continue
        for name in axis.ticktext:
            plain = re.sub("</?b>", "", name)
            # The room for bold letters where some are.
            assert text_width(plain, size) + (axis.ticklabelstandoff or 0) <= layout.margin.l, name
    for words in layout.annotations:
        if words.xanchor == "left" and words.x == 1 and words.xshift:
            assert words.xshift + text_width(words.text, words.font.size or 14 * FACTOR) <= layout.margin.r, words.text


def assert_reads_well(words: str) -> None:
    """Whole sentences, and no setting by a name of the code."""
    assert not [setting.name for setting in IMSConfig.settings() if "_" in setting.name and setting.name in words]
    assert "Settings:" not in words
    assert len(words) < 1500
    for sentence in re.split(r"(?<=[.!?]) ", words):
        assert sentence[0].isupper() or sentence[0].isdecimal() or sentence[0] in "✓◎", sentence
        assert not sentence.startswith(("That is", "Which", "And ", "Dotted:")), sentence


def test_a_caption_names_the_preset_and_what_differs_from_it_alone(own_home: Path):
    usual = replace(small_spec(), preset="default", config=preset("default"))
    write_victims(own_home / "victims")
    said = provenance(read_records(taken(own_home, usual, 1)))[1]
    assert said.startswith("Defence IMS, preset default, SPC 1, seed 0, float32; after round 1 of 1 (")
    changed = replace(usual.config, sparsity_weight=5.0, inner_steps=2)
    records = read_records(taken(own_home, replace(usual, config=changed), 1))
    said = provenance(records)[1]
    assert "preset default (changed: Sparsity weight λ = 5; Inner steps = 2), SPC 1" in said
    page = report(records)
    for name, value in (
        ("Sparsity weight λ", "5 (preset 0.1)"),
        ("Inner steps", "2 (preset 6)"),
        ("Steepness k", "20"),
    ):
        assert f"<th>{name}</th><td>{value}</td>" in page
    assert all(f"<th>{setting_title(setting)}</th>" in page for setting in IMSConfig.settings())


@pytest.mark.parametrize(("wide", "width_mm", "pixels"), [(False, 88, 333), (True, 180, 680)])
def test_in_print_no_name_is_cut_or_left_out(records: RunRecords, wide: bool, width_mm: int, pixels: int):
    """As Kaleido sets it: all words are there, and nothing is drawn where the paper ends."""
    records = replace(records, wide=wide)
    program = images.find_browser()
    assert program is not None
    with images.Renderer(program) as renderer:
        names = ("neurons-map-selection", "defend-map-selection", "neurons-channel-history", "defend-measures")
        drawn = {name: by_name(records, name, "paper") for name in names}
        layers = (Layer("stem", 3, 0), Layer("Mixed_7c.branch_pool.MaxPoolAndMix.conv", 1024, 3))
        values, every = ChannelValues(np.zeros(1027), "Score"), np.zeros(1027)
        drawn["long names, Neurons"] = network_map(layers, values, "paper", wide=wide)
        state = ChannelState(layers, every, every, every, every)
        drawn["long names, Defend"] = channel_map(state, "pruned", "paper", wide=wide)
        for name, each in drawn.items():
            figure = for_column(each, width_mm)
            svg = renderer.draw(figure, "svg").decode()
            assert f'width="{pixels}"' in svg
            shown = [
                html.unescape(re.sub("<[^>]*>", "", each)) for each in re.findall(r"<text.*?</text>", svg, re.DOTALL)
            ]
            axes = [figure.layout[key] for key in figure.layout if re.fullmatch(r"[xy]axis\d*", key)]
            wanted = [name for axis in axes if axis.showticklabels is not False for name in axis.ticktext or ()]
            assert set(wanted) <= set(shown), set(wanted) - set(shown)
            with Image.open(io.BytesIO(renderer.draw(figure, "png"))) as png:
                pixels_of = np.asarray(png.convert("L"))
            for edge in (pixels_of[:, 0], pixels_of[:, -1], pixels_of[0], pixels_of[-1]):
                assert edge.min() > 250, name


def finished(run: Run) -> RunResult:
    views = run.entries()[-1].views
    return RunResult("It was enough.", True, 4, {"initialise": 4}, 1.0, {}, {}, views)


def test_a_sweep_takes_finished_runs_that_differ_in_one_setting_and_their_seeds(own_home: Path):
    run = make_run(own_home)
    own = replace(run.summary(), state=RunState.FINISHED, result=finished(run))

    def other(name: str, spc: int = 1, state: RunState = RunState.FINISHED, **changes: float) -> RunSummary:
        spec = replace(own.spec, spc=spc, config=replace(own.spec.config, **changes))
        return replace(own, id=name, spec=spec, state=state)

    runs = [
        own,
        other("more", spc=5),
        other("seed", spc=5, seed=1),
        other("going", spc=2, state=RunState.RUNNING),
        other("both", spc=5, steepness=9),
        other("lambda", sparsity_weight=3),
    ]
    for name, how in (("half", {"precision": "bfloat16"}), ("elsewhere", {"device": "cuda"})):
        run_there = other(name, spc=7)
        runs.append(replace(run_there, spec=replace(run_there.spec, **how)))
    assert [place.run.id for place in finished_along(own, "spc", runs)] == [own.id, "more", "seed"]
    assert [(p.value, p.run.id) for p in finished_along(own, "sparsity_weight", runs)] == [(3, "lambda"), (10, own.id)]
    assert not is_curve(finished_along(own, "weight_pruned_clean", runs))


def test_the_table_of_a_sweep_holds_the_settings_and_the_spread():
    shares = {seed: {"acc": {"original": 0.9, "pruned": 0.8 + 0.02 * seed, "inverse": 0.1}} for seed in (0, 1)}
    points = [SweepPoint(spc, seed, f"run-{spc}-{seed}", shares[seed]) for spc in (2, 50) for seed in (0, 1)]
    table = figure_table(sweep_curves(points, [2, 10, 50], "Data budget, SPC", "light"))
    each = table[table["trace"] == "Pruned, each run"]
    assert each["Data budget, SPC"].tolist() == [2, 2, 50, 50]
    assert each["y, %"].tolist() == [80, 82, 80, 82]
    means = table[table["trace"] == "Pruned, mean ± standard deviation"]
    assert means["Data budget, SPC"].tolist() == [2, 50]
    assert means["± y"].tolist() == pytest.approx([2**0.5, 2**0.5], abs=0.01)
    assert set(table["panel"]) == {"ACC, clean accuracy"}


def test_the_table_of_cuts_says_to_which_panel_each_point_belongs():
    values = {name: {"pruned": np.array([0.9, 0.5])} for name in ("acc", "asr")}
    table = figure_table(cut_curves(np.array([0, 7]), values, 7, "light", shown=7))
    here = table[table["trace"] == "Pruned, this cut"]
    assert here["panel"].tolist() == ["ACC, clean accuracy", "ASR, attack success rate"]
    assert here["channels cut"].tolist() == [7, 7]


def test_what_a_reader_picked_is_what_the_figure_shows_and_says(own_home: Path):
    run = make_run(own_home)
    by_rule = read_records(run)
    picked = read_records(run, None, Picks("5", "layer4.0.conv1:3", 2))
    clean = read_records(run, None, Picks("clean-0"))
    (entry,) = entries_of(picked, ["flip-probabilities"])
    labels = picked.flip_samples.answers.labels.tolist()
    assert f"Sample 5, triggered, true class {picked.classes[labels[5]]}, picked on the page Flip." in entry.words(
        picked
    )
    assert "Sample 0, clean, true class airplane, picked" in entry.words(clean)
    assert "the first" in entry.words(by_rule)
    shown = [100 * share for share in picked.flip_samples.answers.probabilities[0, 5].tolist()]
    assert list(entry.draw(picked, "light").data[0].x) == pytest.approx(shown)
    (entry,) = entries_of(picked, ["neurons-channel-history"])
    assert "Channel layer4.0.conv1:3, picked on the page Neurons" in entry.words(picked)
    assert "the highest-scored" in entry.words(by_rule)
    line = next(trace for trace in entry.draw(picked, "light").data if trace.name == "mask a")
    assert list(line.y) == pytest.approx([float(run.masks_at(n).mask[picked.channel]) for n in range(5)])
    assert by_rule.channel == int(run_scores(run, 4, by_rule.victim).argmax())
    for wrong, name in (
        (Picks("9999"), "flip-probabilities"),
        (Picks("x"), "flip-samples"),
        (Picks(None, "layer9:1"), "neurons-channel-maps"),
    ):
        records = read_records(run, None, wrong)
        with pytest.raises(UserError, match=r"There is no (sample|channel)"):
            by_name(records, name)


def test_feature_maps_are_numbers_in_the_table(records: RunRecords):
    table = figure_table(by_name(records, "neurons-channel-maps"))
    rows = one_channel.test_rows(records.victim, records.channel_images, records.channel, None)
    cells = table[table.trace.str.contains("map") & table.z.notna()].groupby("trace", sort=False)
    (_, first), *_ = cells
    np.testing.assert_allclose(first.z, rows[0].maps[0].ravel(), atol=1e-6)
    assert len(cells) == 2 * len(rows)


def test_a_trigger_that_all_images_share_goes_on_the_test_images(records: RunRecords, monkeypatch: pytest.MonkeyPatch):
    stored = records.run.examples_at(4)
    assert stored is not None
    assert stored.shared is None
    one = np.broadcast_to(stored.perturbations[:1], stored.perturbations.shape)
    monkeypatch.setattr(
        type(records.run), "examples_at", lambda *_: replace(stored, perturbations=one, one_for_all=True)
    )
    np.testing.assert_array_equal(one_channel.shared_trigger(records.run, 4), stored.perturbations[0])
    names = {entry.name for entry in entries_of(records)}
    assert "neurons-channel-maps" in names
    assert "neurons-channel-maps-synthesized" not in names
    images, layout = records.channel_images, MaskLayout.of(records.victim.model)
    rows = one_channel.test_rows(records.victim, images, records.channel, stored.perturbations[0].astype(np.float32))
    assert rows[0].captions == ("clean", "triggered", "synthesized")
    changed = images.tensor() + torch.from_numpy(stored.perturbations[0].astype(np.float32))
    wanted = feature_maps(records.victim.model, layout, records.channel, changed)
    np.testing.assert_allclose(np.stack([row.maps[2] for row in rows]), wanted, atol=1e-6)
    words = [each.text for each in by_name(records, "neurons-channel-maps").layout.annotations]
    assert words.count("synth.") == 1


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
    assert {trace.line.color for trace in printed.data} == {VIEW_COLOURS[view] for view in GATED}
    assert printed.layout.template.layout.paper_bgcolor == "#FFFFFF"
    assert {words.bgcolor for words in printed.layout.annotations} == {None, "#FFFFFF"}
    (entry,) = entries_of(records, ["defend-map-inverse"])
    scale = on_paper(entry.draw(records, "dark")).layout.coloraxis.colorscale
    wanted = entry.draw(records, "paper").layout.coloraxis.colorscale
    assert [colour.lower() for _, colour in scale] == [colour.lower() for _, colour in wanted]


def fills_the_page(pdf: bytes) -> bool:
    """Whether what is drawn begins in the page's corner and is as large as the page."""
    page = [float(number) for number in re.search(rb"/MediaBox \[([\d. ]+)\]", pdf)[1].split()]
    drawn = next(
        found
        for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
        if (found := re.match(rb"([\d.]+) 0 0 -[\d.]+ 0 [\d.]+ cm\nq\n([\d.]+) 0 0 [\d.]+ 0 0 cm", inflated(stream)))
    )
    return 333 * float(drawn[1]) * float(drawn[2]) == pytest.approx(page[2], abs=1)


def inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_an_archive_holds_every_format_of_every_figure(records: RunRecords, tmp_path: Path):
    names = ["defend-measures", "flip-probabilities"]
    steps = []
    made = write_archive(tmp_path / "a.zip", records, FORMATS, names, lambda *step: steps.append(step))
    assert made.problems == ()
    assert [step[:2] for step in steps] == [(0, 2), (1, 2), (2, 2)]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        files = {f"{name}.{kind}" for name in names for kind in (*FORMATS, "txt")}
        assert set(archive.namelist()) == {*files, "plotly.min.js", "about.json"}
        told = json.loads(archive.read("about.json"))
        assert (told["width_mm"], told["round"], told["figures"].keys()) == (88, 4, set(names))
        assert told["settings"] == records.frame.summary.spec.config.as_json()
        svg = archive.read("defend-measures.svg").decode()
        assert 'width="333"' in svg
        assert all(label in svg for label in ("ACC, clean accuracy", "RA, recovery accuracy", "round", "50 %"))
        assert fills_the_page(archive.read("defend-measures.pdf"))
        with Image.open(io.BytesIO(archive.read("defend-measures.png"))) as picture:
            assert picture.width == pytest.approx(88 / 25.4 * 300, abs=2)
            assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
        page = archive.read("flip-probabilities.html").decode()
        assert "probability, %" in page
        assert '<script src="plotly.min.js"' in page
        assert len(page) < 100_000
        table = archive.read("defend-measures.csv").decode()
        assert table == figure_csv(by_name(records, "defend-measures"))
        assert VICTIM in archive.read("defend-measures.txt").decode()


def test_a_round_without_perturbations_has_no_sentence_on_how_many(own_home: Path):
    run = make_run(own_home, rounds=3)
    for number, labels, inner in ((1, None, 8), (2, None, 8), (3, 8, 8)):
        records = read_records(run, number)
        for name, n in (("defend-labels", labels), ("defend-inner", inner)):
            (entry,) = entries_of(records, [name])
            said = re.findall(r"Measured on (\S+) clean images", caption(entry, records))
            assert said == ([] if n is None else [str(n)])
            assert "no perturbation in this round" not in caption(entry, records)
    page = report(read_records(run, 1))
    assert page.count("n = 8 clean images in each round") == 1
    assert "no perturbation in this round" not in page


def test_before_any_perturbation_no_batch_is_spoken_of(own_home: Path):
    records = read_records(make_run(own_home, rounds=2))
    entries = entries_of(records, names := ["defend-labels", "defend-inner"])
    assert sorted(entry.name for entry in entries) == sorted(names)
    for entry in entries:
        assert "Measured on" not in caption(entry, records)


def test_files_in_a_folder_stand_by_themselves(records: RunRecords, tmp_path: Path):
    made = write_figures(tmp_path, records, ["html"], ["defend-losses"])
    assert made.names == ("defend-losses.html", "defend-losses.txt", "about.json")
    page = (tmp_path / "defend-losses.html").read_text()
    assert "<script src" not in page
    assert len(page) > 4e6


@pytest.mark.usefixtures("no_browser")
def test_without_a_browser_the_rest_is_made_all_the_same(records: RunRecords, tmp_path: Path):
    made = write_figures(tmp_path / "out", records, ["svg", "csv"], ["defend-losses"])
    assert made.names == ("defend-losses.csv", "defend-losses.txt", "about.json")
    assert made.problems == (images.NO_BROWSER,)


def test_a_browser_that_does_not_start_is_told_of(records: RunRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "invmask.exports.archive.Renderer.open", lambda _: (_ for _ in ()).throw(OSError("it is broken"))
    )
    made = write_figures(tmp_path, records, ["png", "csv"], ["defend-losses"])
    assert made.names == ("defend-losses.csv", "defend-losses.txt", "about.json")
    assert "it is broken" in made.problems[0]


def test_a_picture_that_fails_leaves_the_others(records: RunRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Failing:
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def draw(self, _: go.Figure, image_format: str) -> bytes:
            if image_format == "pdf":
                raise OSError("chromium gave no picture: time is up")
            return b"drawn"

    monkeypatch.setattr("invmask.exports.archive.find_browser", lambda: "chromium")
    monkeypatch.setattr("invmask.exports.archive._renderer", lambda *_: Failing())
    made = write_archive(tmp_path / "a.zip", records, ["svg", "pdf", "csv"], ["defend-losses", "defend-inner"])
    assert {name for name in made.names if "losses" in name} == {
        f"defend-losses.{suffix}" for suffix in ("svg", "csv", "txt")
    }
    assert len(made.problems) == 2
    assert made.problems[0] == "defend-inner.pdf was not made: chromium gave no picture: time is up."
    monkeypatch.setattr("invmask.exports.archive.figure_csv", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_archive(tmp_path / "b.zip", records, ["csv"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_the_report_opens_by_itself_and_has_everything_once(records: RunRecords):
    page = report(records)
    assert page.count("<figure>") == len(entries_of(records))
    assert 4e6 < len(page) < 8e6
    assert "<script src" not in page
    for part in (
        VICTIM,
        "ACC, clean accuracy",
        "<th>Inner steps</th><td>2 (preset 20)</td>",
        records.run.id,
        "After round 4 of 4",
        "torch",
    ):
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
