"""The victims that were made in the lab: open their settings again, take them away, or delete them."""

import io
import json
import zipfile

import streamlit as st

from invmask import settings
from invmask.data.registry import dataset_info
from invmask.errors import UserError
from invmask.runs.store.trainings import home_trainings, lab_victims
from invmask.ui.attack_lab import lab_choice
from invmask.ui.attack_lab.lab_words import LAB_WORDS
from invmask.ui.attack_lab.training import is_mine
from invmask.ui.parts.samples import percent
from invmask.ui.shell import address, cache
from invmask.ui.shell.names import attack_title
from invmask.victims.small_victim import SmallVictim
from invmask.victims.victim import VictimCard, find_cards, weights_path

SHOWN = 20
_PROBLEM = "lab/delete-problem"


def show() -> None:
    """Draw the list."""
    found, cards = lab_victims(settings.home()), cache.victim_cards()
    st.subheader("Made in this lab", anchor=False)
    if (problem := st.session_state.pop(_PROBLEM, None)) is not None:
        st.error(problem)
    known = [(cards[name], spec) for name, spec in found.items() if name in cards]
    if not known:
        st.caption("No victim yet. The first one takes about half a minute.")
    for card, spec in known[:SHOWN]:
        _row(card, spec)
    if len(known) > SHOWN:
        st.caption(f"And {len(known) - SHOWN} more, in the sidebar's list of victims.")


def _row(card: VictimCard, spec: SmallVictim) -> None:
    words, measures = _words(card, spec), f"ACC {percent(card.acc)}, ASR {percent(card.asr)}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{words}**  \n{measures}, {card.name[-10:]}", width="stretch")
        st.button(
            "Open",
            key=f"lab-open/{card.name}",
            icon=":material/tune:",
            on_click=_open,
            args=(spec,),
            help=f"Show the settings of {card.name} on this page.",
        )
        with st.popover("More", key=f"lab-more/{card.name}", help=f"Take away or delete {card.name}."):
            st.download_button(
                "Download (zip)",
                lambda: _archive(card, spec),
                file_name=f"{card.name}.zip",
                key=f"lab-zip/{card.name}",
                icon=":material/download:",
                help="The weights (safetensors), the card, and the specification from which it can be made again.",
            )
            st.caption("Runs on a deleted victim stay, but cannot be opened any more.")
            st.button(
                "Delete this victim",
                key=f"lab-delete/{card.name}",
                icon=":material/delete:",
                on_click=_delete,
                args=(card.name,),
                disabled=not _may_delete(card.name),
            )


def _words(card: VictimCard, spec: SmallVictim) -> str:
    info = dataset_info(spec.dataset)
    return (
        f"{attack_title(card)}, {100 * spec.poisoning_ratio:.3g} % → {info.classes[spec.target_label]} · {info.title}, "
        f"{spec.images:,} images"
    )


def _open(spec: SmallVictim) -> None:
    address.replace(LAB_WORDS, lab_choice.words_of(spec), chosen=True)


def _delete(name: str) -> None:
    try:
        if not _may_delete(name):
            raise UserError("This victim belongs to somebody else; only its maker can delete it.")
        home_trainings().delete(name)
    except UserError as error:
        st.session_state[_PROBLEM] = str(error)


def _may_delete(name: str) -> bool:
    found = home_trainings().training(name)
    return found is not None and is_mine(found)


def _archive(card: VictimCard, spec: SmallVictim) -> bytes:
    """Card, weights and specification as one zip file."""
    path, buffer = find_cards([settings.home() / "victims"])[card.name], io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
        archive.write(weights_path(path), f"{card.name}.safetensors")
        archive.writestr("spec.json", json.dumps(spec.as_json(), indent=2) + "\n")
    return buffer.getvalue()
