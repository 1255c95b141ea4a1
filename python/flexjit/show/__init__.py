"""What patterns, masks and kernels look like: for notebooks, as figures, and what each part of a pattern costs."""
from .explain import explain
from .masks import figure

__all__ = ["explain", "figure"]
