"""The one exception that a user is meant to read."""

from workbench.core.masking import masked

TROUBLE_PAGE = "docs/trouble.md"
"""Where it stands in the repository what people meet most, and what to do. Named where a message knows no better advice."""


class WorkbenchError(Exception):
    """Something the user can put right: what is wrong, what was found, and what to do.

    Takes one sentence or several; several are problems found together and are shown together.
    Anything else that is raised is a bug, and goes to the log whole.
    Problems quote files and other programs, so secrets in them are hidden before anybody can show or write them.
    asks: what a person has to say of their data before it goes on ("columns", "prompt", "option", "format", "ignore"), so
    that the command line can name its flags for it.
    """

    def __init__(self, *problems: str, asks: tuple[str, ...] = ()):
        self.problems = tuple(masked(problem) for problem in problems)
        self.asks = asks
        super().__init__("\n".join(self.problems))
