"""The dashboard's entry: `streamlit run app.py`."""

import streamlit as st

from invmask import settings
from invmask.errors import UserError
from invmask.ui.lesson import panel, progress
from invmask.ui.presentation import following, presenting, role
from invmask.ui.shell import address, cache, keyboard, navigation, password, run_trouble, sidebar, theme, visitor

# Before st.navigation: for want of an icon of ours, the browser would fetch a page's own from Google's servers.
# In a lesson, the page and the lesson's panel need the sidebar's room.
follows = role.follows()
sidebar_state = "collapsed" if follows or progress.in_lesson() else "auto"
st.set_page_config("invmask", settings.ASSETS / "logo.svg", "wide", initial_sidebar_state=sidebar_state)
hidden = address.hides()
locked = not password.passed()
page = navigation.menu(hidden, alone=locked or follows or bool(st.context.is_embedded))
theme.page_style()
if locked:
    password.ask()
    st.stop()
keyboard.listen(page.title)
try:
    # Start shows no run, and is what most people see first: it does not wait for the runs.
    cache.built_in_runs(wait=bool(page.url_path) or "run" in st.query_params)
    address.arrive(page.title)
    following.follow(page.title)
    told = sidebar.show()
    following.bar()
    panel.show(page.title)
    navigation.run(page, hidden)
    sidebar.tell(told)
    address.drawn()
    visitor.remember()
    presenting.tell()
    # Workers take seconds to come up: let them, while the reader looks at whatever page this is.
    cache.warm_up(address.current_victim() if address.current_run() is None else None)
except UserError as error:
    run_trouble.show(error)
