"""A reader walks Start, Defend and Flip, reloads, and sends the link to somebody else."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from invmask.defenses.ims.config import preset
from invmask.figures.channels import cell_places
from invmask.grids.curve import UNDER_WAY
from invmask.runs.store.all_runs import RunStore
from invmask.runs.store.records import RunState
from invmask.runs.store.spec import RunSpec
from tests.browser.chromium import find_chromium
from tests.browser.dashboard import Dashboard
from tests.browser.pages import (
    go_to,
    heading,
    press,
    query,
    round_shown,
    set_number,
    settled,
    state_line,
    wait_until,
)
from tests.unit.run_helpers import taken

pytestmark = pytest.mark.browser

VICTIM = "cifar10-preactresnet18w16-badnets"


def test_chromium_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert find_chromium() is not None
    monkeypatch.setenv("INVMASK_CHROMIUM", str(tmp_path / "none"))
    assert find_chromium() is None


def state_of(served: Dashboard, run: str) -> RunState:
    return RunStore(served.home / "runs").run(run).summary().state


def sources(pictures: Locator) -> list[str]:
    """What each picture shows, in order."""
    return pictures.evaluate_all("all => all.map(picture => picture.src)")


def begin_short_run(page: Page) -> str:
    """Step once with settings that soon come to the second phase; returns the run."""
    set_number(page, "Search", 4)
    set_number(page, "Inner steps", 2)
    press(page, "Step")
    expect(state_line(page)).to_contain_text(re.compile(r"round 1 of at most .* · paused"))
    wait_until(page, "the address names the run", lambda: "run" in query(page), 20)
    return query(page)["run"]


def test_start_shows_what_a_backdoor_does(page: Page, served: Dashboard):
    page.goto(f"{served.url}/?victim={VICTIM}")
    expect(heading(page, "A backdoor, on a real victim")).to_be_visible()
    for measure in ("ACC, clean accuracy", "ASR, attack success rate", "RA, recovery accuracy"):
        expect(page.get_by_text(measure, exact=True)).to_be_visible()
    clean, triggered = page.get_by_role("img", name=", clean"), page.get_by_role("img", name=", triggered")
    expect(clean).to_have_count(6)
    expect(triggered).to_have_count(6)
    first = sources(clean)
    assert len(set(first)) == 6
    press(page, "Draw other pictures")
    wait_until(page, "the draw is in the address", lambda: query(page).get("draw") == "1", 20)
    wait_until(page, "other pictures are shown", lambda: not set(sources(clean)) <= set(first), 20)
    expect(clean).to_have_count(6)
    other = sources(clean)
    page.reload()
    expect(clean).to_have_count(6)
    assert query(page)["draw"] == "1"
    assert sources(clean) == other


def test_a_walk_from_start_to_flip_survives_a_reload(page: Page, new_reader: Callable[[], Page], served: Dashboard):
    page.goto(f"{served.url}/?victim={VICTIM}")
    expect(heading(page, "A backdoor, on a real victim")).to_be_visible()

    go_to(page, "Defend")
    expect(heading(page, "Defend")).to_be_visible()
    run = begin_short_run(page)
    assert query(page)["victim"] == VICTIM
    assert round_shown(page) == 1

    press(page, "Run")
    expect(state_line(page)).to_contain_text("running")
    wait_until(page, "five rounds are shown", lambda: round_shown(page) >= 5, 120)
    expect(heading(page, "Synthesized triggers")).to_be_visible()

    press(page, "Pause")
    expect(state_line(page)).to_contain_text("paused")
    assert state_of(served, run) is RunState.PAUSED
    last = round_shown(page)
    page.wait_for_timeout(2_000)
    assert round_shown(page) == last

    slider = page.get_by_role("slider", name="Round shown")
    slider.focus()
    slider.press("ArrowLeft")
    slider.press("ArrowLeft")
    expect(heading(page, f"The views, round {last - 2:,}")).to_be_visible()
    wait_until(page, "the round is in the address", lambda: query(page).get("round") == str(last - 2), 20)

    page.reload()
    expect(heading(page, f"The views, round {last - 2:,}")).to_be_visible()
    expect(state_line(page)).to_contain_text("paused")
    assert query(page) == {"victim": VICTIM, "run": run, "round": str(last - 2)}

    go_to(page, "Flip")
    expect(heading(page, "Flip the mask")).to_be_visible()
    view = page.get_by_role("radiogroup", name="View")
    expect(view.get_by_role("radio", name="Original")).to_be_checked()
    expect(page.get_by_text(re.compile(r"^Original view: ASR"))).to_be_visible()
    view.get_by_role("radio", name="Pruned").click()
    expect(page.get_by_text(re.compile(r"^Pruned view: ASR"))).to_be_visible()
    view.get_by_role("radio", name="Inverse").click()
    expect(page.get_by_text(re.compile(r"^Inverse view: ASR"))).to_be_visible()
    wait_until(page, "the view is in the address", lambda: query(page).get("view") == "inverse", 20)

    page.reload()
    expect(page.get_by_text(re.compile(r"^Inverse view: ASR"))).to_be_visible()
    expect(view.get_by_role("radio", name="Inverse")).to_be_checked()
    assert query(page)["run"] == run

    somebody = new_reader()
    somebody.goto(page.url)
    expect(heading(somebody, "Flip the mask")).to_be_visible()
    shown = somebody.get_by_text(re.compile(r"^Inverse view: ASR"))
    expect(shown).to_have_text(page.get_by_text(re.compile(r"^Inverse view: ASR")).inner_text())


def test_pages_answer_while_a_run_is_under_way(page: Page, new_reader: Callable[[], Page], served: Dashboard):
    page.goto(f"{served.url}/defend?victim={VICTIM}")
    expect(heading(page, "Defend")).to_be_visible()
    run = begin_short_run(page)
    somebody = new_reader()
    somebody.goto(f"{served.url}/?victim={VICTIM}&run={run}")
    expect(heading(somebody, "A backdoor, on a real victim")).to_be_visible()

    press(page, "Run")
    expect(state_line(page)).to_contain_text("running")
    began = round_shown(page)
    for title, words in (("Flip", "Flip the mask"), ("Start", "A backdoor, on a real victim"), ("Defend", "Defend")):
        go_to(somebody, title)
        # How long that takes is measured in benchmarks/: tests share two cores with the run.
        expect(heading(somebody, words).first).to_be_visible()
        # Waiting, while the worker is at what other runs of this home have to do.
        assert state_of(served, run) in UNDER_WAY
    # Both readers see the rounds go on.
    wait_until(page, "the run went on", lambda: round_shown(page) > began + 1, 60)
    wait_until(somebody, "the run went on", lambda: round_shown(somebody) > began + 1, 60)

    # The run is its maker's: whoever looks on has nothing to press.
    expect(somebody.get_by_role("button", name="Pause", exact=True)).to_have_count(0)
    press(page, "Pause")
    expect(state_line(somebody)).to_contain_text("paused")
    expect(state_line(page)).to_contain_text("paused")
    # Following stays on while rounds come in: nobody has moved the slider.
    assert query(page) == query(somebody) == {"victim": VICTIM, "run": run}


def test_a_channel_of_the_map_is_opened_on_neurons_while_rounds_go_by(page: Page, served: Dashboard):
    config = preset("default", rounds_search=0, rounds_initialise=2, rounds_minimise=400, inner_steps=2, patience=400)
    run = taken(served.home, RunSpec(VICTIM, "default", 1, 0, config, probe_per_class=2), 3)
    layout = run.layout()
    assert layout is not None
    bottom = cell_places(layout.layers, 64)[3]
    page.goto(f"{served.url}/defend?victim={VICTIM}&run={run.id}")
    expect(state_line(page)).to_contain_text("paused")
    press(page, "Run")
    expect(state_line(page)).to_contain_text(re.compile("running|between two rounds"))
    plot = page.locator(".st-key-defend-map .js-plotly-plot .nsewdrag").first
    for number in (14, 3):
        began = round_shown(page)
        wait_until(page, "another round", lambda before=began: round_shown(page) > before, 240)
        # Each round has a chart of its own, which has no size until it is laid out: both are measured in one go.
        width, height = page.wait_for_function(
            """() => {
                const box = document.querySelector('.st-key-defend-map .js-plotly-plot .nsewdrag')
                    ?.getBoundingClientRect();
                return box?.width > 0 && [box.width, box.height];
            }"""
        ).json_value()
        # The middle of the cell in the axes of `channel_map`.
        x, y = (number + 0.5 + 0.3) / 64.6, (0.5 + 0.35) / (bottom - 0.1 + 0.35)
        plot.click(position={"x": x * width, "y": y * height})
        expect(page.get_by_role("heading", name=f"conv1, channel {number}")).to_be_visible()
        wait_until(page, "it is in the address", lambda n=number: query(page).get("channel") == f"conv1:{n}", 20)
        assert query(page)["run"] == run.id
        assert "round" not in query(page)
        go_to(page, "Defend")
        expect(heading(page, "All channels")).to_be_visible()
    # One click leads there once.
    began = round_shown(page)
    wait_until(page, "another round", lambda: round_shown(page) > began, 240)
    assert "/defend" in page.url
    press(page, "Pause")


def test_nothing_stops_a_page_half_drawn(page: Page, served: Dashboard):
    slow = False
    held: list[tuple[WebSocketRoute, str | bytes]] = []

    def hold(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        # The first message of a script says that it has begun, the second that it runs.
        server.on_message(lambda said: held.append((socket, said)) if slow else socket.send(said))

    def let_go(count: int | None) -> None:
        for socket, said in held[:count]:
            socket.send(said)
        del held[:count]

    page.route_web_socket(re.compile("/_stcore/stream"), hold)
    page.goto(f"{served.url}/?victim={VICTIM}")
    expect(heading(page, "A backdoor, on a real victim")).to_be_visible()
    settled(page)
    page.evaluate("""() => new MutationObserver(() => {
        const buttons = [...document.querySelectorAll('[data-testid="stStatusWidget"] button')];
        window.signs = (window.signs ?? 0) + buttons.length;
        if (buttons.some((button) => button.checkVisibility()))
            window.stops = [...(window.stops ?? []), document.body.innerText];
    }).observe(document.body, {childList: true, subtree: true})""")
    victims = page.get_by_role("combobox", name=re.compile("Victim"))
    victims.click()
    # The page stays half drawn for as long as the look at it takes.
    slow = True
    page.get_by_role("option").nth(1).click()
    wait_until(page, "the script has begun", lambda: len(held) > 2, 20)
    let_go(2)
    expect(page.get_by_test_id("stStatusWidgetRunningIcon")).to_be_visible()
    buttons = page.get_by_test_id("stStatusWidget").get_by_role("button", include_hidden=True)
    expect(buttons).to_have_count(1)
    expect(buttons).to_be_hidden()
    # Then it is drawn bit by bit, and at no moment is there anything to press.
    while len(held) > 1:
        let_go(1)
        page.wait_for_timeout(50)
    slow = False
    let_go(None)
    settled(page)
    assert page.evaluate("window.signs") > 0
    assert page.evaluate("window.stops ?? []") == []


def test_a_wrong_address_gets_a_sentence(page: Page, served: Dashboard):
    page.goto(f"{served.url}/defend?victim=nobody&run=nothing")
    expect(page.get_by_role("alert").first).to_contain_text("There is no")
    expect(page.get_by_text("Traceback")).to_have_count(0)
