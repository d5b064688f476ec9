"""The one exception class for mistakes that a person can cause and mend."""


class UserError(Exception):
    """A mistake in what the user gave us. The message is one sentence that says what to do.

    The command line prints it and exits with status 2; the dashboard shows it in place.
    """
