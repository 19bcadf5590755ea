"""The base of every error that is written for a person."""


class UserError(Exception):
    """Its text is a whole sentence: what went wrong, where, and what to do. Commands print it, and exit with 1."""


class NothingToDo(Exception):
    """What was asked for is so already, said in one sentence. Commands print it, and exit with 0: nothing is wrong."""
