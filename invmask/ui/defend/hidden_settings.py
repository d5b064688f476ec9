"""Settings whose controls the reader's link hides: what they are."""

from collections.abc import Mapping

import streamlit as st

from invmask.defenses.entry import Entry
from invmask.defenses.settings import DefenseConfig
from invmask.ui.shell.hidden import Hidden
from invmask.ui.shell.new_run_words import DEFENSE, PRESET, SPC


def show_hidden(
    entry: Entry, preset: str, spc: int, values: Mapping[str, float | None], start: DefenseConfig, hidden: Hidden
) -> None:
    """Name the settings that have no control: the usual ones, and what differs from the preset.

    Args:
        values: every setting by name.
        start: the preset's settings.
    """
    first = {DEFENSE: entry.title, PRESET: f"preset {preset}", SPC: f"SPC {spc}"}
    told = [words for name, words in first.items() if hidden.control(name)]
    for setting in sorted(entry.config.settings(), key=lambda each: each.name != "seed"):
        value = values[setting.name]
        if hidden.control(setting.name) and value is not None:
            if setting.name == "seed":
                told.append(f"seed {value:g}")
            elif value != getattr(start, setting.name):
                told.append(f"{setting.short} {value:g}")
    if told:
        st.caption(f"Set by the link that you opened: {', '.join(told)}.")
