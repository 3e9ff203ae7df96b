"""A finished run taken along: the choice of a way out, what it wrote, how it was compared, how it is served."""
