"""How often somebody may ask: so many times in a minute for each, and for all together."""

from collections import deque
from dataclasses import dataclass, field

MINUTE = 60.0  # seconds
MOST_KNOWN = 1000
"""Of those who asked in the last minute. Whoever makes up more names than that meets the allowance of all."""


@dataclass
class Allowance:
    """each, all: questions in a minute. No thread may be in it beside another."""

    each: int
    all: int
    _asked: deque[tuple[float, str]] = field(default_factory=deque)

    def take(self, who: str, now: float) -> float:
        """0 where `who` may ask now, which then counts; otherwise the seconds until it may be tried again.

        now: seconds of a clock that only goes forward.
        """
        while self._asked and (now - self._asked[0][0] >= MINUTE or len(self._asked) > MOST_KNOWN):
            self._asked.popleft()
        own = [at for at, one in self._asked if one == who]
        if len(own) >= self.each:
            return MINUTE - (now - own[0])
        if len(self._asked) >= self.all:
            return MINUTE - (now - self._asked[0][0])
        self._asked.append((now, who))
        return 0.0
