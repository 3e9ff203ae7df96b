"""The one exception that a user is meant to read."""

from workbench.core.masking import masked


class WorkbenchError(Exception):
    """Something the user can put right: what is wrong, what was found, and what to do.

    Takes one sentence or several; several are problems found together and are shown together.
    Anything else that is raised is a bug, and goes to the log whole.
    Problems quote files and other programs, so secrets in them are hidden before anybody can show or write them.
    """

    def __init__(self, *problems: str):
        self.problems = tuple(masked(problem) for problem in problems)
        super().__init__("\n".join(self.problems))
