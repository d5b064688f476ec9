"""Keys that work anywhere on a page, and a first stop for the Tab key that leads past the sidebar.

Space steps a run, the arrows go through its rounds, and 1, 2, 3 choose a view. Keys never act while one types in a
field, and never take over what a key does for the focused control.
"""

import streamlit as st
from streamlit.components.v2 import component

_ROUNDS = {
    "ArrowLeft": (".st-key-defend-chevron_left button", 0),
    "ArrowRight": (".st-key-defend-chevron_right button", 0),
}
_STEP, _RUN = ".st-key-defend-step button", ".st-key-defend-run button"


def _views(group: str) -> dict[str, tuple[str, int]]:
    return {str(number + 1): (f".{group} [role=radio]", number) for number in range(3)}


KEYS: dict[str, dict[str, tuple[str, int]]] = {
    "Defend": {" ": (_STEP, 0), **_ROUNDS, **_views("st-key-defend-map-head")},
    "Flip": _views("st-key-flip-view"),
}
"""By page and key, what is pressed: a CSS selector, and which of its matches."""
_SKIPS = {
    "Defend": ("Skip to Step and Run", [_STEP, _RUN, ".st-key-defend-buttons button"]),
    "Flip": ("Skip to the views", [".st-key-flip-view [role=radio][aria-checked=true]"]),
}
_SKIP = ("Skip to the page", [])


def listen(page: str) -> None:
    """Listen for the keys of a page, by its title. Called once by app.py on every page."""
    words, targets = _SKIPS.get(page, _SKIP)
    # A container, which the style takes out of the page's column.
    with st.container(key="page-keys"):
        _KEYBOARD(key="keyboard", data={"keys": KEYS.get(page, {}), "words": words, "targets": targets})


_CSS = """
:has(>.st-key-page-keys),.st-key-page-keys{position:absolute}
.invmask-skip{position:fixed;left:-100vw;top:.5rem;z-index:1000000;padding:.5rem 1rem;border-radius:6px;
 font:600 1rem var(--st-font);border:2px solid var(--st-text-color);
 background:var(--st-background-color);color:var(--st-text-color)}
.invmask-skip:focus{left:.75rem}
"""

_JS = """
const TYPES = 'input:not([type=checkbox],[type=radio],[type=range],[type=button]),textarea,select,' +
  '[contenteditable]:not([contenteditable=false]),[role=combobox],[role=textbox],[role=searchbox],[role=spinbutton]';
const MOVES = '[role=slider],[role=radio],[role=tab],[role=listbox],[role=option],[role=menu],[role=grid],' +
  'input[type=range],input[type=radio]';
const ACTS = 'button,a,summary,input,label,[role=button],[role=switch],[role=checkbox],' + MOVES;
const APART = '[role=dialog],[data-testid=stPopoverBody],[data-testid=stDialog]';

function pressed(event, keys) {
  const wanted = keys[event.key];
  const at = event.composedPath()[0];
  if (!wanted || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (!(at instanceof Element) || at.closest(TYPES) || at.closest(APART)) return;
  if (event.key === ' ' && (event.repeat || at.closest(ACTS))) return;
  if (event.key.startsWith('Arrow') && at.closest(MOVES)) return;
  const control = document.querySelectorAll(wanted[0])[wanted[1]];
  if (!control) return;
  event.preventDefault();
  if (!control.disabled && control.getAttribute('aria-disabled') !== 'true') control.click();
}

function skip(targets) {
  const found = targets.flatMap((target) => [...document.querySelectorAll(target)]).find((each) => !each.disabled);
  const main = document.querySelector('[data-testid=stMain]');
  if (!found) main?.setAttribute('tabindex', '-1');
  (found ?? main)?.focus();
}

export default function ({ parentElement, data }) {
  parentElement.wanted = data;
  if (!parentElement.listening) {
    const link = document.createElement('button');
    link.type = 'button';
    link.className = 'invmask-skip';
    link.onclick = () => skip(parentElement.wanted.targets);
    document.body.prepend(link);
    const listening = (event) => pressed(event, parentElement.wanted.keys);
    document.addEventListener('keydown', listening);
    Object.assign(parentElement, { link, listening });
  }
  parentElement.link.textContent = data.words;
  return () => {
    parentElement.link.remove();
    document.removeEventListener('keydown', parentElement.listening);
    parentElement.listening = undefined;
  };
}
"""

_KEYBOARD = component("invmask_keyboard", html="<i hidden></i>", css=_CSS, js=_JS, isolate_styles=False)
