"""The form that makes a link for a class: what it opens, what it hides, and how it looks as a QR code."""

import streamlit as st

from invmask.defenses import registry
from invmask.errors import UserError
from invmask.ui.class_link import link
from invmask.ui.defend import exercise
from invmask.ui.shell import address, cache, navigation
from invmask.ui.shell.address_words import EVERYWHERE, HIDE, RUN, SETS_UP, VICTIM
from invmask.ui.shell.hidden import GROUPS, Hidden, control_names, name_of
from invmask.ui.shell.names import victim_label
from invmask.ui.shell.new_run_words import DEFENSE, PRESET, SPC

_KEY, _ASKED = "class-link", "class-link/asked"
_THIS, _OWN = "this run", "own run"
_WORDS = {_THIS: "The run that I look at: all watch it", _OWN: "A run of their own, with these settings"}


def button() -> None:
    """Draw the button that opens the form. A link that hides something was made with it already."""
    if address.hides().text():
        return
    st.button(
        "Class link",
        icon=":material/qr_code_2:",
        width="stretch",
        key=f"{_KEY}/open",
        on_click=lambda: st.session_state.update({_ASKED: True}),
        help="A link that opens a page as you choose it, with less on it; with a QR code for the projector.",
    )
    if st.session_state.pop(_ASKED, False):
        _form(address.page())


@st.dialog("A link for a class", width="large")
def _form(here: str) -> None:
    pages = {page.title: page.url_path for page in navigation.pages()}
    left, right = st.columns([3, 2], gap="large")
    with left:
        page = st.selectbox("Opens", list(pages), index=list(pages).index(here), key=f"{_KEY}/page")
        assert page is not None
        query = _subject(page)
        hidden = _hidden(page, list(pages))
        embed = st.toggle(
            "For a slide or a course page",
            key=f"{_KEY}/embed",
            help="Without the menu and the sidebar. Put the link into a frame of the page.",
        )
        base = st.text_input(
            "Address of this server",
            link.server(st.context.url or "", list(pages.values())),
            key=f"{_KEY}/base",
            max_chars=200,
            help="As the class reaches it, such as http://lab:8501.",
        )
    query |= {HIDE: hidden.text()} if hidden.text() else {}
    query |= link.EMBED if embed else {}
    try:
        made = link.link(base, pages[page], query)
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        return
    with right:
        _code(made)
    st.code(made, language=None, wrap_lines=True)
    if not link.reaches_others(base):
        st.warning(
            "Only this machine can open this address. Start the dashboard with `make app ADDRESS=0.0.0.0`, and put the "
            "machine's name on the network above.",
            icon=":material/wifi_off:",
        )


def _subject(page: str) -> dict[str, str]:
    """Choose the run that the link is about; returns what the address holds of it."""
    cards, run = cache.victim_cards(), address.current_run()
    victim = address.current_victim()
    if victim is None:
        return {}
    kept = {name: value for name in EVERYWHERE if name != HIDE and (value := address.everywhere(name)) is not None}
    chosen = st.radio("Shows", list(_WORDS), format_func=_WORDS.get, key=f"{_KEY}/run") if run is not None else _OWN
    st.caption(f"Victim: {victim_label(cards[victim], list(cards.values()))}. Choose another in the sidebar first.")
    if chosen == _THIS and run is not None:
        return {VICTIM: victim, RUN: run, **kept, **address.choices_of(page)}
    if page == SETS_UP:
        return {VICTIM: victim, **kept, **_settings(victim, run)}
    return {VICTIM: victim, **kept}


def _settings(victim: str, run: str | None) -> dict[str, str]:
    """The words for a new run: with the settings on Defend, or with those of the run."""
    if run is None:
        return address.choices_of(SETS_UP)
    return exercise.words_of(cache.summary(run).spec, cache.victim_cards()[victim])


def _hidden(page: str, titles: list[str]) -> Hidden:
    others = [title for title in titles if title != page]
    pages = st.multiselect("Hides the pages", others, key=f"{_KEY}/pages/{page}", placeholder="None")
    controls = st.multiselect(
        "Hides the controls",
        control_names(),
        format_func=_control_title,
        key=f"{_KEY}/controls",
        placeholder="None",
        help="What a hidden setting is, the link says: it fixes it.",
    )
    return Hidden(frozenset(map(name_of, pages)), frozenset(controls))


def _control_title(name: str) -> str:
    titles = {DEFENSE: "Defence", PRESET: "Preset", SPC: "SPC"}
    titles |= {each.name: each.short for entry in registry.entries().values() for each in entry.config.settings()}
    said = GROUPS.get(name) or titles[name]
    return said[:1].upper() + said[1:]


def _code(made: str) -> None:
    try:
        picture = link.qr_code(made)
    except UserError as error:
        st.info(str(error), icon=":material/qr_code_2:")
        return
    st.image(picture.decode(), caption="Point a phone's camera at it.", width="stretch")
    st.download_button(
        "Save the QR code", picture, "class-link.svg", "image/svg+xml", icon=":material/download:", key=f"{_KEY}/save"
    )
