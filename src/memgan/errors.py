"""The one error that a user is meant to read."""


class InputError(Exception):
    """Something that the user gave is wrong.

    The text is one line: the file or key, what is wrong with it, and the mend. Steps and commands print it without a traceback
    and end with exit code 1 (`memgan.steps.run`).
    """
