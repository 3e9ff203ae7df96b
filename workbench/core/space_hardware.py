"""What a Space can run on, and what that costs."""

from dataclasses import dataclass

PRICES_OF = "22 August 2026"
PRICES_AT = "huggingface.co/pricing"


@dataclass(frozen=True)
class Hardware:
    """id: as the Hub names it. price: dollars an hour, as stated on `PRICES_OF`. memory: GB of its card; 0 where it has none."""

    id: str
    title: str
    price: float
    memory: int = 0

    @property
    def words(self) -> str:
        if not self.price:
            return f"{self.title}: free of charge for who may have it (PRO and teams); it sleeps after 48 hours without a visit"
        return (
            f"{self.title}: ${self.price:.2f} an hour while it runs, ${self.price * 24:.2f} a day and ${self.price * 720:.0f} in 30 "
            f"days if it is left running (prices of {PRICES_OF}; {PRICES_AT} has today's)"
        )


HARDWARE: dict[str, Hardware] = {
    one.id: one
    for one in (
        Hardware("cpu-basic", "2 processor cores, 16 GB of memory, no card", 0.0),
        Hardware("t4-small", "NVIDIA T4, 16 GB", 0.40, 16),
        Hardware("l4x1", "NVIDIA L4, 24 GB", 0.80, 24),
        Hardware("a10g-small", "NVIDIA A10G, 24 GB", 1.00, 24),
        Hardware("l40sx1", "NVIDIA L40S, 48 GB", 1.80, 48),
        Hardware("a100-large", "NVIDIA A100, 80 GB", 2.50, 80),
    )
}
