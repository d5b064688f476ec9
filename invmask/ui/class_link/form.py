"""The form that makes a link for a class: what it opens, what it hides, and how it looks as a QR code."""

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from invmask.defenses import registry
from invmask.errors import UserError
from invmask.ui.class_link import link
from invmask.ui.defend import exercise
from invmask.ui.presentation import presenting
from invmask.ui.presentation.role import role
from invmask.ui.shell import address, cache, navigation
from invmask.ui.shell.address_words import EVERYWHERE, HIDE, LIVE, RUN, SETS_UP, VICTIM
from invmask.ui.shell.hidden import GROUPS, Hidden, control_names, name_of
from invmask.ui.shell.names import victim_label
from invmask.ui.shell.new_run_words import DEFENSE, PRESET, SPC

_KEY, _ASKED, _PROBLEM = "class-link", "class-link/asked", "class-link/problem"
_PAGE, _FOLLOWS = "Opens a page", "Follows what I look at"
_KINDS = (_PAGE, _FOLLOWS)
_THIS, _OWN = "this run", "own run"
_WORDS = {_THIS: "The run that I look at: all watch it", _OWN: "A run of their own, with these settings"}


def button() -> None:
    """Draw the button that opens the form. A link that hides something was made with it already."""
    if address.hides().text():
        return
    presents = role().kind == "presents"
    st.button(
        "Your class follows you" if presents else "Class link",
        icon=":material/sensors:" if presents else ":material/qr_code_2:",
        width="stretch",
        key=f"{_KEY}/open",
        on_click=lambda: st.session_state.update({_ASKED: True}),
        help="The link at which they follow, and the end of it."
        if presents
        else "A link that opens a page as you choose it, or at which others follow you; with a QR code.",
    )
    if st.session_state.pop(_ASKED, False):
        _presenting() if presents else _form(address.page())


@st.dialog("A link for a class", width="large")
def _form(here: str) -> None:
    pages = {page.title: page.url_path for page in navigation.pages()}
    kind = st.segmented_control("The class", _KINDS, default=_PAGE, required=True, key=f"{_KEY}/kind")
    if kind == _FOLLOWS:
        _begin()
        return
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
        base = _base(list(pages.values()))
    query |= {HIDE: hidden.text()} if hidden.text() else {}
    query |= link.EMBED if embed else {}
    _made(lambda: link.link(base, pages[page], query), base, right)


def _begin() -> None:
    st.write(
        "Whoever opens the link sees what you look at: page, victim, run, round and view. They follow you from page to "
        "page, and cannot steer. A lesson's panel is yours alone."
    )
    st.button("Begin", type="primary", icon=":material/sensors:", key=f"{_KEY}/begin", on_click=_begin_now)
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem, icon=":material/error:")


def _begin_now() -> None:
    try:
        presenting.begin()
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)
        return
    # The whole page, with the link in place of the form.
    st.session_state[_ASKED] = True
    st.rerun()


def _end_now() -> None:
    presenting.end()
    st.rerun()


@st.dialog("Your class follows you", width="large")
def _presenting() -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.write("Whoever opens this link sees what you look at, until you end it. You may reload the page meanwhile.")
        base = _base([page.url_path for page in navigation.pages()])
        st.button("End it", icon=":material/stop_circle:", key=f"{_KEY}/end", on_click=_end_now)
    _made(lambda: presenting.live_link(base) or "", base, right)


def _base(paths: list[str]) -> str:
    return st.text_input(
        "Address of this server",
        link.server(st.context.url or "", paths),
        key=f"{_KEY}/base",
        max_chars=200,
        help="As the class reaches it, such as http://lab:8501.",
    )


def _made(make: Callable[[], str], base: str, beside: DeltaGenerator) -> None:
    """Draw the link, and its QR code beside the settings."""
    try:
        made = make()
    except UserError as error:
        st.error(str(error), icon=":material/error:")
        return
    with beside:
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
    kept = {
        name: value
        for name in EVERYWHERE
        if name not in (HIDE, LIVE) and (value := address.everywhere(name)) is not None
    }
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
