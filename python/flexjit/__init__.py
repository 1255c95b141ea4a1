"""Attention that you write, as Python functions or as text, compiled for this machine's processor.

    import numpy as np, flexjit
    q = k = v = np.random.rand(1, 8, 512, 64).astype(np.float32)
    slope = np.linspace(0.1, 0.8, 8, dtype=np.float32)
    out = flexjit.attention(q, k, v,
                            score_mod=lambda score, b, h, i, j: score - slope[h] * (i - j),
                            mask_mod=lambda b, h, i, j: i >= j)

Arrays are (batch, heads, length, dim), of numpy, torch or whatever has DLPack; they are read and written where they lie.
"""
from ._core import BlockMask, Error, describe_host, preset, preset_names
from ._engine import Attention, Engine, attention, check, compile, create_block_mask, default_engine, inspect, merge_states
from . import variants
from .show import explain, figure
from .show.masks import svg as _svg
from .trace import TraceError, text_of, trace

__all__ = ["Attention", "BlockMask", "Engine", "Error", "TraceError", "attention", "check", "compile", "create_block_mask",
           "default_engine", "describe_host", "explain", "figure", "inspect", "merge_states", "preset", "preset_names", "text_of", "trace",
           "variants"]

BlockMask._repr_svg_ = _svg
