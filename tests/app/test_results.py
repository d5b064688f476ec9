"""Results: a sweep's cases as squares and as a table, and the way from a case to its run."""

import json
from dataclasses import replace

import pytest

from invmask import settings
from invmask.attacks.registry import ATTACKS
from invmask.defenses.ims.config import preset
from invmask.exports.data import figure_table
from invmask.figures.grid_map import GridCell, grid_map, ink
from invmask.figures.network_map import colour_scale
from invmask.grids.results import MEASURES, VIEWS, CaseResult, write_case
from invmask.masks.state import View
from invmask.ui.results import results_data
from tests.app.conftest import make_run, sentences, visit
from tests.unit.run_helpers import VICTIM

pytestmark = pytest.mark.usefixtures("tiny_victims")

CASE = CaseResult(
    victim=VICTIM,
    dataset="cifar10",
    architecture="preactresnet18w2",
    attack="badnets",
    poisoning_ratio=0.1,
    preset="default",
    spc=10,
    seed=0,
    views={
        "original": {"acc": 0.9, "asr": 1.0, "ra": 0.0},
        "pruned": {"acc": 0.8, "asr": 0.1, "ra": 0.7},
        "inverse": {"acc": 0.1, "asr": 0.9, "ra": 0.0},
    },
    n_clean=2_000,
    n_triggered=1_800,
)


def store(name, *cases):
    for number, case in enumerate(cases):
        write_case(settings.sweeps_folder() / name, f"case{number}", case)


def test_without_a_sweep_the_page_says_how_to_make_one(monkeypatch):
    monkeypatch.setattr(results_data, "BUILT_IN", {})
    app = visit("results", victim=VICTIM)
    assert not app.exception
    assert "no results yet" in " ".join(sentences(app))
    assert "python -m invmask sweep" in app.code[0].value


def test_sweeps_measured_beforehand_are_there_beside_ones_own():
    app = visit("results", victim=VICTIM)
    assert not app.exception
    assert sentences(app) == []
    (choice,) = (box for box in app.selectbox if box.label == "Sweep")
    assert choice.options == ["Built in: attacks", "Built in: networks"]
    assert " cases, measured beforehand and part of invmask." in " ".join(caption.value for caption in app.caption)
    titles = {attack.title for name, attack in ATTACKS.items() if name not in ("picture", "drawn")}
    assert titles | {"Clean control"} <= set(app.dataframe[0].value["attack"])
    assert all(box.help for box in app.main.selectbox)
    columns = json.loads(app.dataframe[0].proto.columns)
    shares = [columns[f"{view} {measure}"] for view in VIEWS[:3] for measure in MEASURES]
    assert shares[7]["label"] == "inv. ASR"
    assert shares[7]["help"] == "Inverse view: ASR, attack success rate."
    # What the other columns leave of the page at 1440 pixels.
    assert columns["attack"]["width"] + sum(column["width"] for column in shares) <= 806
    assert "python -m invmask sweep" in app.code[0].value
    choice.select("built.networks").run()
    assert app.query_params["sweep"] == "built.networks"
    assert "vitw64" in set(app.dataframe[0].value["architecture"])
    assert {"CIFAR-10", "Fashion-MNIST"} <= set(app.dataframe[0].value["dataset"])
    store("mine", CASE)
    app = visit("results", victim=VICTIM)
    (choice,) = (box for box in app.selectbox if box.label == "Sweep")
    assert choice.options == ["mine", "Built in: attacks", "Built in: networks"]
    assert len(app.dataframe[0].value) == 1
    assert "sweep" not in " ".join(code.value for code in app.code)


def test_a_case_whose_run_is_elsewhere_sets_up_one_like_it():
    config = preset("default", seed=2, sparsity_weight=3.5)
    case = replace(CASE, run="20200101-000000-badnets-0000", spc=7, seed=2, details={"settings": config.as_json()})
    store("grid", case)
    app = visit("results", victim=VICTIM, cell=f"{VICTIM}/7", run=make_run().id)
    buttons = {button.label: button for button in app.button if "seed" in button.label}
    assert {label: button.disabled for label, button in buttons.items()} == {"Set up seed 2": False}
    buttons["Set up seed 2"].click().run()
    assert not app.exception
    assert app.title[0].value == "Defend"
    assert "run" not in app.query_params
    values = {widget.label.split(" :violet")[0]: widget.value for widget in (*app.slider, *app.number_input)}
    assert (values["SPC, samples per class"], values["Seed"], values["Sparsity weight, λ"]) == (7, 2, 3.5)
    assert "preset **default**, SPC **7**, seed **2**." in sentences(app)[0]
    assert "For a new run: Step or Run begins it." in [caption.value for caption in app.sidebar.caption]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"victim": "gone"}, "Neither the run nor its victim, gone, is on this machine."),
        ({"preset": "gone"}, "settings are not those of a preset"),
        ({"spc": 101}, "settings are not those of a preset"),
        ({"details": {"settings": {"gone": 1}}}, "settings are not those of a preset"),
        ({"details": {}}, "settings are not those of a preset"),
        ({"run": None, "details": {}}, "No run was begun for it."),
    ],
)
def test_nothing_is_set_up_that_cannot_be(change, why):
    case = replace(CASE, run="20200101-000000-badnets-0000", details={"settings": preset("default").as_json()})
    case = replace(case, **change)
    store("grid", case)
    app = visit("results", victim=VICTIM, cell=f"{case.victim}/{case.spc}", preset=case.preset)
    assert not app.exception
    (button,) = (button for button in app.button if "seed" in button.label)
    assert button.disabled
    assert why in button.help


def test_the_table_shows_means_in_per_cent_and_cases_without_result():
    other = {**CASE.views, "pruned": {"acc": 0.8, "asr": 0.3, "ra": 0.7}}
    store("grid", CASE, replace(CASE, seed=1, views=other), replace(CASE, seed=2, views={}, problem="It failed."))
    app = visit("results", victim=VICTIM)
    assert not app.exception
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["seeds"], row["problems"]) == (2, 1)
    assert row["pruned asr"] == pytest.approx(20)
    assert not {"pruned asr sd", "dataset", "architecture", "preset"} & set(row)
    said = (
        "3 cases so far, 1 of them without a result. All: CIFAR-10 · PreActResNet-18, width 2 · default. "
        "n = 2,000 clean and 1,800 triggered test images a case."
    )
    assert said in [caption.value.replace("\u00a0", " ") for caption in app.caption]
    app = visit("results", victim=VICTIM, values="Standard deviations")
    (row,) = app.dataframe[0].value.to_dict("records")
    assert "pruned asr" not in row
    assert row["pruned asr sd"] == pytest.approx(14.142, abs=0.001)


def test_a_cell_is_the_mean_over_seeds_and_knows_its_cases():
    other = replace(CASE, seed=1, views={**CASE.views, "pruned": {"acc": 0.8, "asr": 0.3, "ra": 0.7}})
    failed = replace(CASE, spc=100, views={}, problem="It failed.")
    cells, members = results_data.cells([CASE, other, failed], View.PRUNED, [])
    assert [cell.spc for cell in cells] == [10, 100]
    assert cells[0].shares == pytest.approx((0.8, 0.2, 0.7))
    assert cells[1].shares == (None, None, None)
    assert members == [[CASE, other], [failed]]
    assert "ASR 20.0 ± 14.1 %" in cells[0].hovers[1]
    assert "2 seeds" in cells[0].hovers[1]
    assert "no ASR" in cells[1].hovers[1]
    assert results_data.cells([CASE], View.INVERSE, [])[0][0].shares == (0.1, 0.9, 0.0)


def test_how_many_images_is_said_once_or_of_each_data_set():
    clean = replace(CASE, attack="clean", n_triggered=0)
    other = replace(CASE, dataset="gtsrb", n_clean=1_978, n_triggered=1_932)
    failed = replace(CASE, n_clean=0, n_triggered=0, views={}, problem="It failed.")

    def said(*cases):
        return results_data.sizes(list(cases)).replace("\u00a0", " ")

    assert said(CASE, clean, failed) == " n = 2,000 clean and 1,800 triggered test images a case."
    assert said(clean) == " n = 2,000 clean test images a case."
    assert said(CASE, replace(CASE, n_triggered=1_790)).startswith(" n = 2,000 clean and 1,790 to 1,800 triggered test")
    differ = "CIFAR-10 n = 2,000 clean and 1,800 triggered; GTSRB n = 1,978 clean and 1,932 triggered."
    assert said(CASE, other) == f" Test images a case: {differ}"
    alike = said(CASE, other, replace(CASE, dataset="fashionmnist"))
    assert alike == f" Test images a case: {differ.replace(' n', ', Fashion-MNIST n', 1)}"
    assert said(failed) == ""


def test_rows_are_named_by_what_differs_and_stand_in_the_order_of_the_attacks():
    unlike, clean = replace(CASE, architecture="vgg19bnw16"), replace(CASE, attack="clean", poisoning_ratio=0.0)

    def rows(*cases):
        return [cell.row for cell in results_data.cells(list(cases), View.PRUNED, results_data.said_once(cases))[0]]

    assert rows(clean, replace(CASE, attack="wanet"), CASE, replace(CASE, attack="mine")) == [
        "BadNets 10\u00a0%",
        "WaNet 10\u00a0%",
        "mine 10\u00a0%",
        "Clean control",
    ]
    assert rows(CASE, unlike) == [f"BadNets 10\u00a0%, {CASE.architecture}", "BadNets 10\u00a0%, vgg19bnw16"]
    assert rows(CASE, replace(CASE, dataset="gone"))[1] == "BadNets 10\u00a0%, gone"


def test_cases_of_two_precisions_are_in_rows_of_their_own_and_the_table_has_a_column():
    single, half = (replace(CASE, details={"precision": of, "device": "cpu"}) for of in ("float32", "bfloat16"))
    half = replace(half, views={**CASE.views, "pruned": {"acc": 0.8, "asr": 0.5, "ra": 0.7}})
    elsewhere = replace(half, victim="another", attack="wanet")
    assert results_data.apart([single, elsewhere]) == []
    cells, members = results_data.cells([single, half], View.PRUNED, ["architecture", "dataset"])
    assert [cell.row for cell in cells] == ["BadNets 10\u00a0%, float32", "BadNets 10\u00a0%, bfloat16"]
    assert [cell.shares[1] for cell in cells] == pytest.approx([0.1, 0.5])
    assert members == [[single], [half]]
    store("grid", single, half)
    app = visit("results", victim=VICTIM, cell=f"{VICTIM}/10/bfloat16")
    assert not app.exception
    assert {"bfloat16", "float32"} == set(app.dataframe[0].value["precision"])
    assert "device" not in app.dataframe[0].value
    said = " ".join(element.value for element in app.markdown)
    assert "· SPC 10 · default · bfloat16" in said
    assert any("ASR 50.0" in caption.value for caption in app.caption)
    store("grid", single, replace(single, seed=1))
    app = visit("results", victim=VICTIM, cell=f"{VICTIM}/10")
    assert "precision" not in app.dataframe[0].value
    assert "float32" not in " ".join(element.value for element in app.markdown)


def test_the_map_has_a_panel_a_measure_and_budgets_in_order():
    cells = [
        GridCell("one", 10, (0.9, None), ("a", "b")),
        GridCell("one", 100, (0.8, 0.2), ("c", "d")),
        GridCell("two", 2, (0.7, 0.3), ("e", "f")),
    ]
    figure = grid_map(cells, ["ACC", "ASR"], "light", chosen=1)
    assert [trace.name for trace in figure.data] == ["ACC", "ASR"]
    assert list(figure.layout.xaxis.ticktext) == ["2", "10", "100"]
    for trace, texts, hovers in zip(figure.data, (["90", "80", "70"], ["–", "20", "30"]), ("ace", "bdf"), strict=True):
        assert [round(start + 0.5) for start in trace.base] == [1, 2, 0]
        assert list(trace.y) == [0, 0, 1]
        assert list(trace.text) == texts
        assert list(trace.hovertext) == list(hovers)
        assert [width > 0 for width in trace.marker.line.width] == [False, True, False]


def test_the_saved_table_of_the_map_has_victims_budgets_and_shares():
    cells = [GridCell("one", 10, (0.9, None), ("a", "b")), GridCell("two", 2, (0.7, 0.3), ("e", "f"))]
    table = figure_table(grid_map(cells, ["<b>ACC</b>, % ↑", "<b>ASR</b>, % ↓"], "paper"))
    assert list(table) == ["trace", "victim", "SPC", "share, %"]
    assert table["trace"].tolist() == ["ACC, % ↑"] * 2 + ["ASR, % ↓"] * 2
    assert table[["victim", "SPC"]].to_numpy().tolist() == [["one", 10], ["two", 2]] * 2
    assert table["share, %"].tolist() == pytest.approx([90, 70, float("nan"), 30], nan_ok=True)


@pytest.mark.parametrize("theme", ["light", "dark", "paper"])
def test_numbers_on_cells_are_legible_on_every_colour(theme):
    def luminance(colour):
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    stops = colour_scale("amount", theme)
    for place, colour in stops:
        one, other = sorted((luminance(colour), luminance(ink(place, theme))))
        assert (other + 0.05) / (one + 0.05) >= 4.5


def test_a_case_leads_to_its_run_where_it_is_here():
    run = make_run()
    store("grid", replace(CASE, run=run.id), replace(CASE, seed=1, run="20200101-000000-badnets-0000"))
    app = visit("results", victim=VICTIM)
    assert not any(button.label.startswith("Open seed") for button in app.button)
    app = visit("results", victim=VICTIM, cell=f"{VICTIM}/10")
    buttons = {button.label: button for button in app.button if button.label.startswith("Open seed")}
    assert not buttons["Open seed 0"].disabled
    assert buttons["Open seed 1"].disabled
    buttons["Open seed 0"].click().run()
    assert not app.exception
    assert app.query_params["run"] == run.id
    assert app.title[0].value == "Defend"


def test_a_file_that_is_no_case_is_told_of_and_the_rest_is_shown():
    store("grid", CASE)
    (settings.sweeps_folder() / "grid" / "other.json").write_text("{}")
    app = visit("results", victim=VICTIM)
    assert "other.json is no case of a sweep" in " ".join(sentences(app))
    assert len(app.dataframe[0].value) == 1
