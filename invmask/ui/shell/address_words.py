"""The words that the page address may hold: those of every page, and each page's own."""

from invmask.ui.attack_lab.lab_words import LAB_WORDS, PEN_WORDS

VICTIM, RUN = "victim", "run"
OF_A_NETWORK = {"Neurons": ("channel", "cut"), "Export": ("channel",), "Challenge": ("cut",)}
"""Choices by page that name channels; in another network they would mean other channels."""
MASKS = {"Flip": "mask", "Neurons": "base"}
"""Choices by page that name a mask of the run; another run may have no mask of that name."""
WORDS = {
    "Start": ("class", "draw"),
    "Own model": ("bring",),
    "Defend": ("round",),
    "Flip": ("view", "images", "show", "round", "pick", "page", "mask", *PEN_WORDS),
    "Neurons": ("by", "n", "colour", "round", "channel", "base", "cut", "draw"),
    "Tune": ("round", "by", "n", "pins", "axis", "base", "seeds", "values"),
    "Attack lab": LAB_WORDS,
    "Challenge": ("n", "cut", "colour"),
    "Compare": ("victims", "defences", "spcs", "seeds", "measure", "cell"),
    "Export": ("round", "sample", "channel", "draw"),
    "Lesson": (),
    "Results": ("sweep", "preset", "view", "cell", "values"),
}
"""All choices by page, beside the words for a new run; anything else in the address gives a message."""
HIDE, LIVE = "hide", "live"
EVERYWHERE = ("lesson", "lesson_step", "lesson_answers", HIDE, LIVE)
"""Choices beside victim and run that stay in the address when the reader goes to another page."""
SETS_UP = "Defend"
"""The page where a new run is set up."""
LATE_SECONDS = 3.0
"""So long after a change, a busy browser may still send the address from before it, together with another click."""
