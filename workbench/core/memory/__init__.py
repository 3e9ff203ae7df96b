"""What a run needs of a card's memory, and what fits."""
