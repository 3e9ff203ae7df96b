"""What a Space or a Job of the Hub can run on, and what that costs."""

from dataclasses import dataclass

PRICES_OF = "22 August 2026"
PRICES_AT = "huggingface.co/pricing"


@dataclass(frozen=True)
class Hardware:
    """id: as the Hub names it. price: dollars an hour, as stated on `PRICES_OF`. card: its name; "" where it has none. memory: GB
    of the card."""

    id: str
    price: float
    card: str = ""
    memory: int = 0
    bf16: bool = True

    @property
    def title(self) -> str:
        return f"NVIDIA {self.card}, {self.memory} GB" if self.card else "2 processor cores, 16 GB of memory, no card"

    @property
    def words(self) -> str:
        if not self.price:
            return f"{self.title}: free of charge for who may have it (PRO and teams); it sleeps after 48 hours without a visit"
        return (
            f"{self.title}: ${self.price:.2f} an hour while it runs, ${self.price * 24:.2f} a day and ${self.price * 720:.0f} in 30 "
            f"days if it is left running (prices of {PRICES_OF}; {PRICES_AT} has today's)"
        )


CARDS = (
    Hardware("t4-small", 0.40, "T4", 16, bf16=False),
    Hardware("l4x1", 0.80, "L4", 24),
    Hardware("a10g-small", 1.00, "A10G", 24),
    Hardware("l40sx1", 1.80, "L40S", 48),
    Hardware("a100-large", 2.50, "A100", 80),
)
"""From cheap to dear."""

FOR_SPACES = {one.id: one for one in (Hardware("cpu-basic", 0.0), *CARDS)}

FOR_JOBS = (*CARDS, Hardware("rtx-pro-6000", 2.75, "RTX PRO 6000", 96), Hardware("h200", 5.00, "H200", 141))
"""From cheap to dear. The prices of the first ones are those of Spaces; the two last are of Jobs, and nobody noted their day."""
