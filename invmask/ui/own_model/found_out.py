"""What was found out about a model of one's own: its network, its images, and their normalisation."""

import streamlit as st

from invmask.ui.parts.samples import percent
from invmask.ui.shell.names import architecture_title, count, plain
from invmask.victims.bring import Brought
from invmask.victims.victim import VictimCard

MOST_CLASSES = 12
MOST_SHOWN = 5
_NORMALISATION_HELP = (
    "Each of the usual normalisations was tried on some of the images. The one with the highest accuracy was taken. "
    "Without classes it is the one with the most telling answers: sure, and not always the same. To set another one, "
    "bring the model in again."
)


def show(card: VictimCard) -> None:
    """Draw the facts as a short list, and the figures behind the normalisation."""
    brought, info = Brought.of(card), card.dataset_info
    if brought is None:
        return
    st.subheader("What was found out", anchor=False)
    _, height, width = info.shape
    n = sum(brought.counts)
    named = sum(map(bool, brought.counts))
    acc = "not known, as the images have no classes" if card.acc is None else percent(card.acc)
    lines = [
        f"**Network**: {plain(architecture_title(card.architecture))}, {count(len(info.classes))} outputs"
        + (f", from {plain(brought.file)}" if brought.file else ""),
        f"**Images**: {count(n)} of {height} × {width} pixels, {_counts(brought.counts, info.classes)}",
        f"**Clean accuracy (ACC)**: {acc}, n\u00a0=\u00a0{count(card.n_test)}",
        f"**Classes**: {plain(brought.outputs)}",
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))
    if not named:
        st.caption("No image has a class.")
    _normalisations(brought)
    with st.expander("All notes", icon=":material/notes:"):
        st.markdown("\n".join(f"- {plain(note)}" for note in brought.notes))
        renamed = {ours: theirs for ours, theirs in brought.names.items() if ours != theirs}
        if renamed:
            st.caption("Tensors by the names in the file, and in the network here:")
            rows = [{"in the file": theirs, "here": ours} for ours, theirs in renamed.items()]
            st.dataframe(rows, height=220, hide_index=True)


def _counts(counts: tuple[int, ...], classes: tuple[str, ...]) -> str:
    """How many of each class: `20 of each class`, or the classes with their numbers."""
    present = {name: number for name, number in zip(classes, counts, strict=False) if number}
    if len(set(present.values())) == 1 and len(present) == len(classes):
        return f"{count(next(iter(present.values())))} of each class"
    if len(present) > MOST_CLASSES:
        return f"{count(min(present.values()))} to {count(max(present.values()))} of {count(len(present))} classes"
    return ", ".join(f"{plain(name)} {count(number)}" for name, number in present.items())


def _normalisations(brought: Brought) -> None:
    rows = brought.normalisations
    if not rows:
        return
    st.markdown("**Normalisation**", help=_NORMALISATION_HELP)
    labelled = rows[0].get("acc") is not None
    shown = [
        {
            "normalisation": row["title"],
            "mean": ", ".join(f"{value:.3g}" for value in row["mean"]),
            "std": ", ".join(f"{value:.3g}" for value in row["std"]),
            ("ACC, %" if labelled else "information, %"): round(
                100 * (row["acc"] if labelled else row["information"]), 1
            ),
        }
        for row in rows[:MOST_SHOWN]
    ]
    st.dataframe(shown, hide_index=True, width="stretch")
    st.caption(f"The first is taken. Measured on {count(rows[0]['n'])} images.")
