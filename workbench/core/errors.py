"""The one exception that a user is meant to read."""


class WorkbenchError(Exception):
    """Something the user can put right: what is wrong, what was found, and what to do.

    Takes one sentence or several; several are problems found together and are shown together.
    Anything else that is raised is a bug, and goes to the log whole.
    """

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = problems
