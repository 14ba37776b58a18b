"""What the user can mend, told in one sentence."""


class DiffoptError(ValueError):
    """A problem with the user's input: says what was found, where, what was expected and how to mend it.

    The command line prints it as it stands and exits with 2; anything else that is raised is a fault of the program.
    """
