"""Own model: bring in a network that somebody handed over, and clean images; get a verdict and a repaired model."""

import streamlit as st

from invmask.ui.own_model import arriving, checked, form, found_out
from invmask.ui.shell import address, cache


def _page() -> None:
    victim = address.current_victim()
    bringing = arriving.current()
    card = None if victim is None else cache.victim_cards().get(victim)
    st.title("Own model", anchor=False)
    if bringing is not None:
        arriving.show(bringing)
        if bringing.status() is not None:
            form.show(bringing)
        return
    if card is None or not card.is_unknown:
        st.write(
            "Somebody handed you an image classifier? Bring it in with some clean images. Here you learn whether it "
            "carries a backdoor, to which label, and how sure that is, and you get it back repaired. Nobody needs to "
            "know the trigger."
        )
        form.show(None)
        st.caption("Whoever uses this server sees the models that are brought in, and their images.")
        return
    left, right = st.columns([11, 9], gap="large")
    with left:
        checked.show(card)
    with right:
        found_out.show(card)
    with st.expander("Bring in another model", icon=":material/upload_file:"):
        form.show(None)


_page()
