"""Published attentions as programs: texts for `program=`, which say themselves what a call binds.

    text = flexjit.variants.neighborhood((56, 56), kernel=7)
    out = flexjit.attention(q, k, v, program=text)          # tokens of an image in raster order
    text = flexjit.variants.longformer(256)
    out = flexjit.attention(q, k, v, program=text, bindings={"tokens": tokens})
"""
from . import _core

__all__ = ["longformer", "neighborhood", "random_features", "swin"]


def longformer(window, *, dilation=1, autoregressive=False, global_rows_apart=False):
    """A band of `window` keys on each side, every dilation-th (an int, or one for each query head), and global tokens, which see all
    and are seen by all. Binds `tokens`, int32 (batch, length): below 0 padding, 0 local, above 0 global. global_rows_apart: global
    tokens see nothing, since queries of their own attend for them."""
    return _core.longformer(window, [dilation] if isinstance(dilation, int) else list(dilation), autoregressive, global_rows_apart)


def neighborhood(extents, kernel, *, dilation=1, stride=1, causal=False, clipped=False, relative_bias=False):
    """Neighborhood attention over a grid of tokens in row-major order. extents: of each axis; the others: one for each axis, or one
    for all. Windows at borders are moved inwards (NATTEN), or clipped. relative_bias: binds `relative_bias`, float32 (heads, 2 kernel
    - 1 for each axis), which is added by distance."""
    def each(x):
        return list(x) if isinstance(x, (tuple, list)) else [x] * len(extents)

    axes = list(zip(extents, each(kernel), each(dilation), each(stride), each(causal), strict=True))
    return _core.neighborhood(axes, clipped, relative_bias)


def swin(height, width, window=7, shift=0, *, relative_bias=False):
    """Swin's windows of an image in raster order, rolled by `shift`; both an int, or (rows, columns). relative_bias: binds
    `relative_bias`, float32 (heads, (2 rows - 1) * (2 columns - 1)) of a window."""
    def pair(x):
        return (x, x) if isinstance(x, int) else tuple(x)

    return _core.swin(height, width, pair(window), pair(shift), relative_bias)


def random_features(features, head_dim, *, seed=0, orthogonal=True):
    """The matrix W (features, head_dim) of feature maps, float32, the same numbers on every machine."""
    import numpy

    return numpy.array(_core.random_features(features, head_dim, seed, orthogonal), numpy.float32).reshape(features, head_dim)
