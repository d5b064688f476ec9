"""A link for a class: its text, and its QR code."""

import io
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import segno

from invmask.errors import UserError

LOCAL = ("localhost", "127.0.0.1", "::1", "")
EMBED = {"embed": "true"}
"""Streamlit's own word for a page without its bars; invmask then leaves out the sidebar, too."""
_QUIET_ZONE, _SCALE = 4, 6


def link(base: str, path: str, query: Mapping[str, str]) -> str:
    """The link to a page.

    Args:
        base: address of the server, as in http://lab:8501.
        path: the page's path; empty for Start.
        query: what the address holds.

    Raises:
        UserError: the base is no address of a server.
    """
    try:
        parts = urlsplit(base.strip())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        # A port that is not a number is reported only when it is read.
        valid = valid and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or any(letter.isspace() for letter in base.strip()):
        raise UserError("The address of the server has to begin with http:// or https://, as in http://lab:8501.")
    # Commas and colons are readable, and mean themselves in a query.
    words = urlencode(query, safe=",:;")
    return base.strip().rstrip("/") + f"/{path}" + (f"?{words}" if words else "")


def server(url: str, paths: list[str]) -> str:
    """The server's address in the address of one of its pages.

    Args:
        paths: the paths of all pages.
    """
    base = url.partition("?")[0].partition("#")[0].rstrip("/")
    before, _, last = base.rpartition("/")
    return before if last in paths and before.count("/") >= 2 else base


def reaches_others(base: str) -> bool:
    """Whether other machines can open an address; `localhost` is each machine's own name."""
    return urlsplit(base.strip()).hostname not in LOCAL


def qr_code(text: str) -> bytes:
    """The QR code of a text as SVG, black on white.

    Raises:
        UserError: the text is too long for one.
    """
    try:
        code = segno.make_qr(text, error="m")
    except segno.DataOverflowError as error:
        raise UserError("This link is too long for a QR code. Send it as text.") from error
    file = io.BytesIO()
    code.save(file, kind="svg", scale=_SCALE, border=_QUIET_ZONE, dark="#000", light="#fff")
    return file.getvalue()
