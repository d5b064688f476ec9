"""One Chromium for all browser tests, one dashboard for each file of them, a new reader for each test.

Not one dashboard for all: its worker would go on with what the last tests asked of it while all other tests run.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.dashboard import PATIENCE_MS, ROOT, Dashboard, chromium, dashboard, new_context

_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def ends() -> Iterator[ExitStack]:
    """Ends of dashboards that are still under way: the next file's tests begin meanwhile. All have to end well."""
    with ExitStack() as under_way:
        yield under_way


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, ends: ExitStack) -> Iterator[Dashboard]:
    """The dashboard, with a home of its own."""
    with ExitStack() as stack:
        yield stack.enter_context(dashboard(tmp_path_factory.mktemp("dashboard")))
        ending = ends.enter_context(ThreadPoolExecutor(1)).submit(stack.pop_all().close)
    ends.callback(ending.result)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as started:
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Remember whether the test itself failed, for its pages' last pictures."""
    report = yield
    if report.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture
def new_reader(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Callable[[], Page]]:
    """Opens a page of somebody new; in the end none may have had an uncaught error, or have asked another machine."""
    pages: list[Page] = []
    errors: list[str] = []
    elsewhere: list[str] = []

    def look_at(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("data", "blob") and parts.hostname != "localhost":
            elsewhere.append(address)

    def open_page() -> Page:
        page = new_context(browser).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: look_at(request.url))
        page.on("websocket", lambda socket: look_at(socket.url))
        pages.append(page)
        return page

    yield open_page
    for number, page in enumerate(pages):
        if request.node.stash.get(_FAILED, True):
            folder = Path(ROOT / "screenshots" / "failed")
            page.screenshot(path=folder / f"{request.node.name}-{number}.png")
        page.context.close()
    assert errors == []
    assert elsewhere == []


@pytest.fixture
def page(new_reader: Callable[[], Page]) -> Page:
    """One reader's page."""
    return new_reader()
