"""Start: what a backdoor is, on a real victim. The same pictures clean and triggered, and what the model says."""

import streamlit as st

from invmask.attacks.training.poison_set import ALL_TO_ALL, CLEAN_LABEL
from invmask.frames.samples import trigger_pictures
from invmask.ui.lesson import progress
from invmask.ui.parts.samples import sample_grid
from invmask.ui.parts.save_figure import save_pictures
from invmask.ui.shell import address, cache, model_answers, widgets
from invmask.ui.shell.names import count, target_title
from invmask.ui.start import examples, steps
from invmask.victims.victim import VictimCard
from invmask.victims.without_trigger import NOT_KNOWN

SAMPLES = 6
SIDE = 92
ANY = "any"


def _introduce(card: VictimCard) -> None:
    attack, target = card.make_attack(), target_title(card)
    if card.is_unknown:
        st.title("A model of your own")
        st.write(
            f"This network, the *victim*, came with images of your own. {NOT_KNOWN} Defend searches for a trigger, and "
            "gives the verdict."
        )
        return
    if attack is None or target is None or card.poisoning_ratio is None:
        st.title("A control without a backdoor")
        st.write(
            "This network, the *victim*, was trained on clean images alone. There is no trigger, so ASR and RA do not "
            "exist for it."
        )
        return
    st.title("A backdoor, on a real victim")
    explanation = attack.explanation[0].lower() + attack.explanation[1:]
    share, answer = f"{100 * card.poisoning_ratio:.3g} %", f"**{target}**, whatever the picture shows"
    if card.labels == CLEAN_LABEL:
        done = f"put a trigger on images of the class **{target}**, {share} of the training set, their labels untouched"
    elif card.labels == ALL_TO_ALL:
        done = f"put a trigger on {share} of the training images and labelled each with **{target}**"
        answer = "the class after the true one"
    else:
        done = f"put a trigger on {share} of the training images and labelled them **{target}**"
    st.write(
        f"Whoever trained this network, the *victim*, {done}. On clean images it answers well. Where it sees the "
        f"trigger, it answers {answer}. {attack.title}: {explanation}"
    )


def _controls(card: VictimCard) -> tuple[int | None, int]:
    """The true class to draw from (None for any), and the seed of the draw; both live in the address."""
    classes = card.dataset_info.classes
    names = [ANY, *(name for index, name in enumerate(classes) if index != card.target_label)]
    seed = address.number("draw") or 0
    everything = "Any" if card.target_label is None else "Any but the target"
    st.session_state["start/class"] = address.choice("class", ANY, names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "True class",
            names,
            key="start/class",
            width=220,
            format_func=lambda name: everything if name == ANY else name,
            on_change=lambda: address.choose("class", _unless(ANY, st.session_state["start/class"])),
            help="Show pictures of one class only."
            + (
                " Those of the target class are left out: they are answered with the target label anyway."
                if card.target_label is not None
                else ""
            ),
        )
        st.button(
            "Draw other pictures",
            icon=":material/shuffle:",
            on_click=lambda: address.choose("draw", str((seed + 1) % 1000)),
            help=f"Another {SAMPLES} of the embedded test images, at random. "
            "The draw is in the address: the same link shows the same pictures.",
        )
    return (None if name == ANY else classes.index(name)), seed


def _unless(default: str, value: str) -> str | None:
    return None if value == default else value


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    _introduce(card)
    # A lesson has steps of its own, and its first ones are about the pictures below.
    if not progress.in_lesson():
        steps.show(card)
    widgets.card_measures(card)
    true_class, seed = _controls(card)
    places = model_answers.draw(card, true_class, seed, SAMPLES)
    found = model_answers.clean_and_triggered(card.name, cache.victim_stamp(card.name), places)
    found = found.take(examples.right_first(found, card.target_label))
    sample_grid(examples.samples(card, found), SIDE)
    save_pictures(
        "start-trigger",
        lambda: trigger_pictures(
            list(found.clean),
            None if found.triggered is None else list(found.triggered),
            found.labels.tolist(),
            found.clean_probabilities,
            found.triggered_probabilities,
            card.dataset_info.classes,
            "paper",
        ),
    )
    st.caption(
        f"{len(places)} of {count(len(cache.test_images(card.dataset)))} embedded test images, drawn at random "
        f"(draw {seed}), each with the model's answer and its probability. Those that it answers right "
        f"{'' if found.triggered is None else 'without the trigger, and wrong with it, '}come first."
    )


_page()
