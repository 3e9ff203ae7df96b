"""A workbench with which one person and one GPU aligns a language model."""

__version__ = "0.1.0"
