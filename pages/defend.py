"""Defend: run a defence on the victim, and watch every round."""

from invmask.errors import UserError
from invmask.ui.defend import controls, live
from invmask.ui.shell import address, run_trouble, widgets


def _page() -> None:
    card = widgets.open_card()
    if card is None:
        return
    draft = controls.show(card, address.current_run())
    try:
        live.show(card, draft)
    except UserError as error:
        run_trouble.show(error)


_page()
