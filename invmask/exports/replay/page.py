"""The whole replay of a run as one HTML file that opens offline: no server, no network, nothing beside it."""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from invmask.exports.replay.data import replay_data, words
from invmask.figures.palette import GROUND, NEUTRAL, TEXT, VIEW_COLOURS, VIEW_COLOURS_DARK
from invmask.frames.run_records import RunRecords
from invmask.runs.store import files

FOLDER = Path(__file__).parent
SCRIPTS = ("elements.js", "views.js", "channel_map.js", "pictures.js", "flip.js", "player.js")
"""The parts of the page's script, in the order in which they are joined."""


def write_replay(path: Path, records: RunRecords) -> None:
    """Write the replay to `path`; see `replay`.

    Raises:
        OSError: the file cannot be written.
    """
    files.write_bytes(path, replay(records).encode())


def replay(records: RunRecords) -> str:
    """The replay's HTML: about 1 MB for a run of 100 rounds, and below 6 MB for any run.

    Args:
        records: a run at its latest round.
    """
    style = _colours() + (FOLDER / "page.css").read_text("utf-8")
    parts = "".join((FOLDER / name).read_text("utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{parts}}})();\n'
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html.j2").render(
        # The browser itself refuses any request, and any script or style but these two.
        policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}",
        style=Markup(style),
        script=Markup(script),
        data=replay_data(records),
        **words(records),
    )


def _colours() -> str:
    """The dashboard's colours as CSS variables, in both themes."""
    light = {"ink": TEXT["light"], "ground": GROUND["light"], "neutral": NEUTRAL["light"], **VIEW_COLOURS}
    dark = {"ink": TEXT["dark"], "ground": GROUND["dark"], "neutral": NEUTRAL["dark"], **VIEW_COLOURS_DARK}
    rules = ["".join(f"--{name}:{colour};" for name, colour in theme.items()) for theme in (light, dark)]
    return f":root{{{rules[0]}}}\n@media (prefers-color-scheme:dark){{:root{{{rules[1]}}}}}\n"


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
