"""The sections of the page Export: an archive of figures, a report, the replay, and the repaired model."""

from dataclasses import asdict

import streamlit as st

from invmask.exports.archive import FORMATS
from invmask.exports.book import BOOK, entries_of
from invmask.exports.images import find_browser
from invmask.exports.jobs import Request
from invmask.figures.palette import VIEW_EXPLANATIONS, VIEW_TITLES
from invmask.figures.paper import WIDTHS_MM
from invmask.frames.run_records import Picks, read_records
from invmask.masks.state import GATED, View
from invmask.runs.store import named_masks
from invmask.runs.store.run import Run
from invmask.ui.export.job import make_button, show_job
from invmask.ui.export.picks import choose_picks
from invmask.ui.shell import cache

_TITLES = {entry.name: entry.title for entry in BOOK}
_FORMAT_TITLES = {"svg": "SVG", "pdf": "PDF", "png": "PNG", "html": "HTML", "csv": "CSV"}
_WIDTH_TITLES = dict(zip(WIDTHS_MM, ("88 mm, one column", "180 mm, two columns"), strict=True))
_MODEL_TITLES = {"safetensors": "safetensors", "onnx": "ONNX", "mask": "mask alone"}
_GROWING = ("neurons-top", "neurons-agreement", "tune-mask")
_MORE = "There are more figures once Neurons has gathered its evidence and Tune has measured its cuts: open them once."
NEEDS_BROWSER = (
    "There is no Chrome or Chromium on this machine: SVG, PDF and PNG cannot be made here, HTML and CSV can. Every "
    "chart's own menu, Save figure, still saves PNG and SVG in your browser."
)


# Cached for seconds only: a run gets more figures as cuts are measured, evidence is gathered and other runs end.
@st.cache_data(ttl=5, max_entries=64, show_spinner=False)
def _figures(run: str, round_taken: int, stamp: int) -> list[tuple[str, str]]:  # noqa: ARG001  (of the victim)
    """Name and page of every figure that the run has."""
    return [(entry.name, entry.page) for entry in entries_of(read_records(cache.store().run(run), round_taken))]


def figures(run: Run, round_taken: int, victim_stamp: int) -> Picks:
    """Choose figures and formats, and start the archive; returns the choices on Flip and Neurons."""
    st.subheader("Figures", anchor=False, help="For print: white ground, letters of 7 points or more, PNG at 300 dpi.")
    found = _figures(run.id, round_taken, victim_stamp)
    _all_or_none("All pages", "", [name for name, _ in found])
    pages = list(dict.fromkeys(page for _, page in found))
    chosen: list[str] = []
    columns, left = st.columns(2), _left_half([of for _, of in found])
    for page in pages:
        of_page = [name for name, of in found if of == page]
        with columns[page not in left], st.container(gap="xsmall"):
            _all_or_none(page, page, of_page)
            chosen += [
                name
                for name in of_page
                if st.checkbox(_TITLES[name], key=_tick(name), wrap=True, persist_state="session")
            ]
    if not set(_GROWING) <= dict(found).keys():
        st.caption(_MORE)
    picks = choose_picks(run)
    width = st.segmented_control(
        "Width in print",
        list(_WIDTH_TITLES),
        default=WIDTHS_MM[0],
        format_func=_WIDTH_TITLES.__getitem__,
        required=True,
        key="export/width",
        persist_state="session",
        help="Of SVG, PDF and PNG. Letters are as high in both; a wide figure has more pictures or panels beside each "
        "other. HTML is as wide as the window.",
    )
    formats = st.pills(
        "Formats",
        list(FORMATS),
        selection_mode="multi",
        default=list(FORMATS),
        format_func=lambda name: _FORMAT_TITLES[name],
        key="export/formats",
        persist_state="session",
        help="HTML opens offline and can be zoomed; all of them share the plotly.js beside them. CSV has the numbers "
        "behind the figure. A caption with victim, preset, seed and versions comes with each; about.json has every "
        "setting.",
    )
    if find_browser() is None:
        st.info(NEEDS_BROWSER)
    request = Request(
        "figures",
        round_taken,
        tuple(name for name in FORMATS if name in formats),
        tuple(name for name, _ in found if name in chosen),
        **asdict(picks),
        width_mm=width,
    )
    what = f"{len(chosen)} {'figure' if len(chosen) == 1 else 'figures'}"
    make_button(f"Make an archive of {what}", run, request, not chosen or not formats)
    show_job(run, "figures", lambda made: _figure_words(made, len(found)))
    return picks


def _left_half(pages: list[str]) -> list[str]:
    """The pages in the left column: the first few pages, so that both columns are about equally high.

    `pages` has the page of each figure. In a narrow window the right column follows below, so the order is kept.
    """
    names = list(dict.fromkeys(pages))
    heights = {name: 1 + pages.count(name) for name in names}
    return min(
        (names[:number] for number in range(1, len(names) + 1)),
        key=lambda left: abs(2 * sum(heights[name] for name in left) - sum(heights.values())),
    )


def _tick(name: str) -> str:
    return f"export/figure/{name}"


def _all_or_none(title: str, page: str, names: list[str]) -> None:
    """A title and two buttons that tick all of these figures or none. Initially all are ticked."""
    for name in names:
        # Set before the box is drawn, because a value set by a button must not have a default as well.
        st.session_state.setdefault(_tick(name), True)

    def tick(value: bool) -> None:
        for name in names:
            st.session_state[_tick(name)] = value

    of = f"figures of {page}" if page else "figures"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"export-ticks-{page or 'all'}"):
        st.markdown(f"**{title}**", width="content")
        for value, label, words in ((True, "All", f"Tick all {of}"), (False, "None", f"Tick no {of}")):
            key = f"export/{label.lower()}/{page}"
            st.button(label, key=key, type="tertiary", help=words, on_click=tick, args=(value,))


def report(run: Run, round_taken: int, picks: Picks) -> None:
    """The section for the report, one HTML file."""
    st.subheader("Report", anchor=False, help="Results, settings and every figure in one file that opens offline.")
    make_button("Make the report", run, Request("report", round_taken, **asdict(picks)))
    show_job(run, "report", lambda made: f"After round {made.round:,}.")


def replay(run: Run, last: int) -> None:
    """The section for the replay of all rounds up to the last one, one HTML file."""
    st.subheader(
        "Replay",
        anchor=False,
        help="All rounds in one file that opens offline: scrub through them with a slider or the arrow keys, or play "
        "them. At the end, the same pictures can be flipped between the views.",
    )
    make_button("Make the replay", run, Request("replay", last))
    show_job(run, "replay", lambda made: f"All rounds, up to round {made.round:,}.")
    make_button(
        "Make a moving picture (GIF)",
        run,
        Request("gif", last),
        help="The rounds one after the other, 960 × 540 pixels, for slides. Long runs are thinned: at most 60 pictures "
        "and 8 MB.",
    )
    show_job(run, "gif", lambda made: f"For slides: rounds 0 to {made.round:,}.")


def model(run: Run, round_taken: int) -> None:
    """The section for the model with a view folded into its weights."""
    st.subheader(
        "Repaired model",
        anchor=False,
        help="The mask is folded into the convolutions' weights, so that the network needs nothing beside it; a "
        "transformer's gates go along as data. Input: images in [0, 1], N × C × H × W, float32. ONNX has the "
        "normalisation inside; the safetensors file is a "
        "state_dict, with mean and standard deviation in its metadata. The mask alone gives all three views back.",
    )
    shapes = run.shapes()
    views = GATED if shapes is None else shapes.views
    titles = {kind: title for kind, title in _MODEL_TITLES.items() if kind != "mask" or View.PRUNED in views}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        view = st.segmented_control(
            "View",
            list(views),
            default=views[1],
            format_func=lambda name: VIEW_TITLES[name],
            required=True,
            key=f"export/view/{'/'.join(views)}",
            persist_state="session",
            help="\n\n".join(f"**{VIEW_TITLES[name]}**: {VIEW_EXPLANATIONS[name]}" for name in views),
        )
        names = [named_masks.LEARNED, *named_masks.list_names(run)]
        key = f"export/mask/{run.id}"
        if st.session_state.get(key) not in names:
            # The masks were deleted meanwhile.
            st.session_state.pop(key, None)
        mask = st.selectbox(
            "Mask",
            names,
            key=key,
            persist_state="session",
            width=220,
            format_func=lambda name: f"Learned, round {round_taken:,}" if name == names[0] else name,
            help="The run's own mask, or one that was made by hand and given a name.",
        )
        kinds = st.pills(
            "Files",
            list(titles),
            selection_mode="multi",
            default=list(titles),
            format_func=lambda name: titles[name],
            key=f"export/files/{len(titles)}",
            persist_state="session",
            help="Every model is run on all embedded test images and held against the masked one.",
        )
    own = mask == named_masks.LEARNED
    formats = tuple(name for name in titles if name in kinds)
    request = (
        Request("model", round_taken, formats, view=str(view))
        if own
        else Request("model", round_taken, formats, view=str(view), mask=mask, stamp=named_masks.stamp(run, mask))
    )
    make_button("Export and check the model", run, request, not formats)
    show_job(run, "model", _model_words)


def _figure_words(made: Request, every: int) -> str:
    count = every if made.figures is None else len(made.figures)
    formats = ", ".join(_FORMAT_TITLES[name] for name in made.formats)
    what = f"{count} {'figure' if count == 1 else 'figures'}"
    return f"{what} as {formats}, {made.width_mm} mm wide; after round {made.round:,}."


def _model_words(made: Request) -> str:
    mask = f"mask {made.mask}" if made.mask else f"learned mask after round {made.round:,}"
    return f"{VIEW_TITLES[made.view]} view, {mask}."
