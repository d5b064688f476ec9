"""A reader of the dashboard without a browser: Streamlit's own protocol over its WebSocket.

It does what Streamlit's page does: it sends clicks, polls parts of the page that draw themselves again, and reads what
comes back. It draws nothing.
"""

import asyncio
import contextlib
import time

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

RERUN = ForwardMsg.FINISHED_EARLY_FOR_RERUN
MOST_MESSAGE = 64 << 20
MOST_SECONDS = 120.0
"""A reader who got no answer for so long counts as lost."""


class Reader:
    """One open page.

    Attributes:
        buttons: ids of the buttons that were drawn last, by label.
        pages: hashes of the pages by url path.
        query: the address of the page.
        received: bytes received.
        polls: seconds that each poll took to answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url.replace("http", "ws", 1) + "/_stcore/stream"
        self.buttons: dict[str, str] = {}
        self.enabled: set[str] = set()
        self.pages: dict[str, str] = {}
        self.query = ""
        self.page = ""
        self.received = 0
        self.polls: list[float] = []
        self._socket: ClientConnection | None = None
        self._finished = asyncio.Condition()
        self._runs = 0
        self._timers: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._listener: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()

    async def open(self, path: str, query: str) -> float:
        """Open a page; returns the seconds until it was drawn."""
        started = time.perf_counter()
        self._socket = await connect(self.url, subprotocols=["streamlit"], max_size=MOST_MESSAGE, ping_interval=None)  # type: ignore[list-item]
        self._listener = asyncio.create_task(self._listen())
        self.query = query
        await self._rerun(page_name=path)
        return time.perf_counter() - started

    async def press(self, label: str) -> float:
        """Press a button; returns the seconds until the page was drawn anew."""
        started = time.perf_counter()
        await self._rerun(pressed=self.buttons[label])
        return time.perf_counter() - started

    async def go_to(self, path: str) -> float:
        """Go to another page through the menu; returns the seconds until it was drawn."""
        started = time.perf_counter()
        self._stop_timers()
        self.buttons, self.enabled, self.query = {}, set(), ""
        self.page = self.pages[path]
        await self._rerun()
        return time.perf_counter() - started

    async def close(self) -> None:
        """Leave."""
        self._stop_timers()
        if self._listener is not None:
            self._listener.cancel()
        if self._socket is not None:
            await self._socket.close()

    async def _rerun(self, pressed: str | None = None, fragment: str | None = None, page_name: str = "") -> None:
        """Ask for the page, or a part of it, and wait until it is drawn."""
        assert self._socket is not None
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        state.page_script_hash = self.page
        state.page_name = page_name
        state.context_info.timezone = "UTC"
        state.context_info.url = self.url
        if pressed is not None:
            widget = state.widget_states.widgets.add()
            widget.id, widget.trigger_value = pressed, True
        if fragment is not None:
            state.fragment_id, state.is_auto_rerun = fragment, True
        async with self._busy:
            before = self._runs
            await self._socket.send(message.SerializeToString())
            async with asyncio.timeout(MOST_SECONDS), self._finished:
                await self._finished.wait_for(lambda: self._runs > before)

    async def _listen(self) -> None:
        assert self._socket is not None
        async for content in self._socket:
            assert isinstance(content, bytes)
            self.received += len(content)
            message = ForwardMsg()
            message.ParseFromString(content)
            await self._take(message)

    async def _take(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "new_session":
                self.page = message.new_session.page_script_hash or self.page
            case "navigation":
                self.pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "delta" if message.delta.WhichOneof("type") == "new_element":
                element = message.delta.new_element
                if element.WhichOneof("type") == "button":
                    self.buttons[element.button.label] = element.button.id
                    (self.enabled.discard if element.button.disabled else self.enabled.add)(element.button.label)
            case "auto_rerun":
                self._start_timer(message.auto_rerun.fragment_id, message.auto_rerun.interval)
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._stop_timer(fragment)
            case "script_finished" if message.script_finished != RERUN:
                async with self._finished:
                    self._runs += 1
                    self._finished.notify_all()

    def _start_timer(self, fragment: str, interval: float) -> None:
        known = self._timers.get(fragment)
        if known is None or known[0] != interval:
            self._stop_timer(fragment)
            self._timers[fragment] = interval, asyncio.create_task(self._poll(fragment, interval))

    def _stop_timer(self, fragment: str) -> None:
        if fragment in self._timers:
            self._timers.pop(fragment)[1].cancel()

    def _stop_timers(self) -> None:
        for fragment in list(self._timers):
            self._stop_timer(fragment)

    async def _poll(self, fragment: str, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            started = time.perf_counter()
            with contextlib.suppress(TimeoutError, ConnectionClosed):
                await self._rerun(fragment=fragment)
                self.polls.append(time.perf_counter() - started)
