"""BlockMask with PyTorch's fields, made of a mask_mod without a look at each pair, and masks joined."""
import itertools
import math

import torch

from .._engine import default_engine
from .._patterns import Pattern, index
from ..trace import kind_of
from .operators import NO_BLOCKS, blocks_of, mask_of_lists

BLOCK = 128
LISTS = ("kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices", "q_num_blocks", "q_indices", "full_q_num_blocks",
         "full_q_indices")


def noop_mask(batch, head, token_q, token_kv):
    """Allows every pair."""
    return batch.new_ones(size=(), dtype=torch.bool, device=batch.device)


def joined(masks, start, join):
    if not all(callable(mask) for mask in masks):
        raise RuntimeError(f"All inputs should be callable mask_mods: {masks}")

    def mask_mod(b, h, q_idx, kv_idx):
        result = b.new_full((), start, dtype=torch.bool)
        for mask in masks:
            result = join(result, mask(b, h, q_idx, kv_idx))
        return result

    return mask_mod


def and_masks(*mask_mods):
    """A mask_mod that allows what all of the given ones allow."""
    return joined(mask_mods, True, lambda a, b: a & b)


def or_masks(*mask_mods):
    """A mask_mod that allows what any of the given ones allows."""
    return joined(mask_mods, False, lambda a, b: a | b)


def sliced_mask_mod(b, h, q_idx, kv_idx):
    raise RuntimeError("Cannot use mask_mod from a sliced BlockMask: its positions are those of the whole. Set mask_mod of the slice, from "
                       "that of the BlockMask before it was sliced.")


def ordered(dense):
    """(counts, indices) of the blocks that are true in (..., rows, columns), the true ones first."""
    dense = dense.to(torch.int32)
    indices = torch.argsort(dense, dim=-1, descending=True, stable=True)
    return dense.sum(-1).to(torch.int32), indices.to(torch.int32).contiguous()


def dense_of(counts, indices, columns):
    dense = torch.zeros(*indices.shape[:-1], columns + 1, dtype=torch.int32)
    counted = torch.arange(indices.shape[-1]) < counts[..., None]
    dense.scatter_(-1, torch.where(counted, indices, columns).long(), 1)
    return dense[..., :columns].contiguous()


def transposed(counts, indices, columns):
    return ordered(dense_of(counts, indices, columns).transpose(-2, -1))


class BlockMask:
    """PyTorch's: which blocks of (Q_BLOCK, KV_BLOCK) pairs hold any allowed pair (kv_num_blocks, kv_indices), and which only
    allowed ones (full_kv_*). Lists are int32 (batch, heads, q_blocks[, kv_blocks]). One that create_block_mask made fills its
    lists when they are asked for."""

    def __init__(self, seq_lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, q_num_blocks, q_indices,
                 full_q_num_blocks, full_q_indices, BLOCK_SIZE=(BLOCK, BLOCK), mask_mod=noop_mask, *, dq_write_order=None,
                 dq_write_order_full=None, dq_kv_order=None, dq_kv_order_spt=None):
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        for name, value in zip(LISTS, (kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, q_num_blocks, q_indices,
                                       full_q_num_blocks, full_q_indices)):
            setattr(self, name, value)
        for one, other in (("full_kv_num_blocks", "full_kv_indices"), ("full_q_num_blocks", "full_q_indices")):
            if (getattr(self, one) is None) != (getattr(self, other) is None):
                raise AssertionError(f"{one} and {other} must be both provided or omitted")
        self.seq_lengths, self.BLOCK_SIZE, self.mask_mod = tuple(seq_lengths), tuple(BLOCK_SIZE), mask_mod
        self.dq_write_order, self.dq_write_order_full = dq_write_order, dq_write_order_full
        self.dq_kv_order, self.dq_kv_order_spt = dq_kv_order, dq_kv_order_spt
        self._blocks, self._planes = NO_BLOCKS, None

    @classmethod
    def _of(cls, core, planes, mask_mod, separate_full_blocks):
        """Of an engine's mask, which may stand for more planes than it has."""
        mask = cls.__new__(cls)
        _, _, q_len, kv_len, q_block, kv_block = core.sizes
        mask.seq_lengths, mask.BLOCK_SIZE, mask.mask_mod = (q_len, kv_len), (q_block, kv_block), mask_mod
        mask.dq_write_order = mask.dq_write_order_full = mask.dq_kv_order = mask.dq_kv_order_spt = None
        mask._blocks, mask._planes, mask._separate = blocks_of(core), planes, separate_full_blocks
        return mask

    def __getattr__(self, name):
        if name not in LISTS or self.__dict__.get("_planes") is None:
            raise AttributeError(name)
        self._fill()
        return self.__dict__[name]

    def _fill(self):
        """The lists of the engine's mask, which may be written to from then on: they are the mask."""
        core, planes, self._planes, self._blocks = self._blocks.core, self._planes, None, NO_BLOCKS
        batch, heads, q_len, kv_len, q_block, kv_block = core.sizes
        kinds = torch.frombuffer(bytearray(core.kinds() or b"\0"), dtype=torch.uint8)
        kinds = kinds[: batch * heads * -(-q_len // q_block) * -(-kv_len // kv_block)]
        kinds = kinds.view(batch, heads, -(-q_len // q_block), -(-kv_len // kv_block)).expand(*planes, -1, -1)
        for name, columns in (("kv", kinds), ("q", kinds.transpose(-2, -1))):
            full = ordered(columns == 2) if self._separate else (None, None)
            found = (*ordered(columns == 1 if self._separate else columns != 0), *full)
            for part, value in zip((f"{name}_num_blocks", f"{name}_indices", f"full_{name}_num_blocks", f"full_{name}_indices"), found):
                self.__dict__.setdefault(part, value)

    @classmethod
    def from_kv_blocks(cls, kv_num_blocks, kv_indices, full_kv_num_blocks=None, full_kv_indices=None, BLOCK_SIZE=BLOCK, mask_mod=None,
                       seq_lengths=None, compute_q_blocks=True, *, dq_write_order=None, dq_write_order_full=None, dq_kv_order=None):
        """From PyTorch's lists; indices past the count of a row are not looked at."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        if (full_kv_num_blocks is None) != (full_kv_indices is None):
            raise AssertionError("full_kv_num_blocks and full_kv_indices must be both provided or omitted")
        block = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        if seq_lengths is None:
            seq_lengths = (kv_indices.shape[-2] * block[0], kv_indices.shape[-1] * block[1])
        columns = -(-seq_lengths[1] // block[1])
        q_lists, full_q_lists = (None, None), (None, None)
        if compute_q_blocks:
            q_lists = transposed(kv_num_blocks, kv_indices, columns)
            if full_kv_num_blocks is not None:
                full_q_lists = transposed(full_kv_num_blocks, full_kv_indices, columns)
        return cls(seq_lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, *q_lists, *full_q_lists, BLOCK_SIZE=block,
                   mask_mod=mask_mod if mask_mod is not None else noop_mask, dq_write_order=dq_write_order,
                   dq_write_order_full=dq_write_order_full, dq_kv_order=dq_kv_order if isinstance(dq_kv_order, torch.Tensor) else None,
                   dq_kv_order_spt=dq_kv_order if isinstance(dq_kv_order, bool) else None)

    def operands(self):
        """(blocks, lists), one of which has the mask, as torch.ops.flexjit.attention takes it."""
        if self._planes is not None:
            return self._blocks, []
        lists = [self.kv_num_blocks, self.kv_indices]
        if self.full_kv_num_blocks is not None:
            lists += [self.full_kv_num_blocks, self.full_kv_indices]
        return NO_BLOCKS, lists

    def engine_mask(self):
        """The engine's form; of lists it is made anew when one of them was replaced or written to."""
        if self._planes is not None:
            return self._blocks.core
        return mask_of_lists(self.operands()[1], self.seq_lengths, self.BLOCK_SIZE)

    @property
    def shape(self):
        planes = self._planes if self._planes is not None else tuple(self.kv_indices.shape[:-2])
        return tuple(planes) + self.seq_lengths

    def numel(self):
        """Pairs of all planes, allowed or not."""
        return math.prod(self.shape)

    def sparsity(self):
        """Percent of the blocks that are empty."""
        total = math.prod(self.shape[:-2])
        for length, block in zip(self.seq_lengths, self.BLOCK_SIZE):
            total *= -(-length // block)
        computed = self.kv_num_blocks.sum().item() + (self.full_kv_num_blocks.sum().item() if self.full_kv_num_blocks is not None else 0)
        return 100 * (1 - computed / total)

    def to_dense(self):
        """int32 (batch, heads, q_blocks, kv_blocks): 1 where any pair of the block is allowed."""
        dense = dense_of(self.kv_num_blocks, self.kv_indices, self.kv_indices.shape[-1])
        if self.full_kv_num_blocks is not None:
            dense |= dense_of(self.full_kv_num_blocks, self.full_kv_indices, self.full_kv_indices.shape[-1])
        return dense

    def to_string(self, grid_size=(20, 20), limit=4):
        """A picture of each plane, two characters a cell: full, mixed or empty."""
        dense = self.to_dense().float()
        rows, columns = dense.shape[-2:]
        most = (rows, columns) if grid_size == -1 else (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        steps = max(1, -(-rows // most[0])), max(1, -(-columns // most[1]))
        pictures = []
        for number, plane in enumerate(itertools.product(*[range(n) for n in dense.shape[:-2]])):
            if number == limit:
                pictures += ["...", "To print out more, set BlockMask.to_string(limit=N)",
                             "You can also index (BlockMask[batch, head]) to choose a specific batch or head"]
                break
            lines = [f"{plane}"]
            for r in range(0, rows, steps[0]):
                shares = [dense[plane][r:r + steps[0], c:c + steps[1]].mean().item() for c in range(0, columns, steps[1])]
                lines.append("".join(("█" if share == 1 else " " if share == 0 else "░") * 2 for share in shares))
            pictures.append("\n".join(lines) + "\n")
        return "\n".join(pictures)

    def __str__(self):
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{self.to_string().strip()}\n)"

    def __repr__(self):
        shapes = "".join(f"    {name}={getattr(getattr(self, name), 'shape', None)},\n" for name in LISTS)
        return (f"BlockMask(\n{shapes}    BLOCK_SIZE={self.BLOCK_SIZE},\n    shape={self.shape},\n    sparsity={self.sparsity():.2f}%,\n"
                f"    mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}\n)")

    def _repr_svg_(self):
        return self.engine_mask()._repr_svg_()

    def __getitem__(self, at):
        """Planes and rows of blocks; the mask_mod of the result must be set where it depends on positions."""
        at = at if isinstance(at, tuple) else (at,)
        if len(at) > 3:
            raise IndexError("BlockMask indexing supports batch, head, and Q-block dimensions")
        at = (*at, slice(None), slice(None), slice(None))[:3]
        sizes = self.kv_num_blocks.shape[:3]
        at = tuple((slice(i % n, i % n + 1) if -n <= i < n else slice(i, i + 1)) if isinstance(i, int) else i for i, n in zip(at, sizes))
        lists = [None if x is None else x[at] for x in (getattr(self, name) for name in LISTS[:4])]
        rows = range(sizes[2])[at[2]] if isinstance(at[2], slice) else None
        block, q_len = self.BLOCK_SIZE[0], self.seq_lengths[0]
        length = lists[1].shape[-2] * block if rows is None else sum(min(block, q_len - r * block) for r in rows)
        return BlockMask.from_kv_blocks(*lists, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=sliced_mask_mod, seq_lengths=(length, self.seq_lengths[1]),
                                        compute_q_blocks=self.q_indices is not None)

    def _adjust(self, new_q_len, new_kv_len):
        """For other lengths: blocks past the old ones are empty. PyTorch's name for it, which inference code uses."""
        rows, columns = (-(-length // block) for length, block in zip((new_q_len, new_kv_len), self.BLOCK_SIZE))

        def resized(counts, indices):
            dense = dense_of(counts, indices, indices.shape[-1])
            return ordered(torch.nn.functional.pad(dense, (0, columns - dense.shape[-1], 0, rows - dense.shape[-2])))

        lists = resized(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is not None:
            lists += resized(self.full_kv_num_blocks, self.full_kv_indices)
        return BlockMask.from_kv_blocks(*lists, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=self.mask_mod, seq_lengths=(new_q_len, new_kv_len),
                                        compute_q_blocks=self.q_indices is not None)

    def __dir__(self):
        return [*super().__dir__(), *LISTS]

    def as_tuple(self, flatten=True):
        lists = [getattr(self, name) for name in LISTS]
        dq = [self.dq_write_order, self.dq_write_order_full, self.dq_kv_order, self.dq_kv_order_spt]
        if flatten:
            return (*self.seq_lengths, *lists, *dq, *self.BLOCK_SIZE, self.mask_mod)
        return (self.seq_lengths, *lists, *dq, self.BLOCK_SIZE, self.mask_mod)

    def to(self, device):
        """On the processor it is there already."""
        if torch.device(device).type != "cpu":
            raise ValueError(f"flexjit runs on the processor; a BlockMask cannot go to {device}")
        return self

    def __getstate__(self):
        lists = {name: getattr(self, name) for name in LISTS}
        return {**{key: value for key, value in self.__dict__.items() if key != "_blocks"}, **lists}

    def __setstate__(self, state):
        self.__dict__.update(state, _blocks=NO_BLOCKS)


@torch.compiler.disable
def create_block_mask(mask_mod, B, H, Q_LEN, KV_LEN, device=None, BLOCK_SIZE=BLOCK, _compile=False, separate_full_blocks=True,
                      compute_dq_write_order=False, dq_kv_order=True):
    """The exact BlockMask of a mask_mod, a Python function or a text, by interval analysis: no Q_LEN x KV_LEN array is made.
    B, H: None where the mask does not depend on them. `device` and what follows BLOCK_SIZE but separate_full_blocks mean
    nothing here."""
    if not isinstance(mask_mod, str) and kind_of(mask_mod) != "mask":
        raise AssertionError(f"create-block_mask requires a mask_mod function! Got {mask_mod}")
    planes = (1 if B is None else index(B, "B"), 1 if H is None else index(H, "H"))
    block = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    pattern = Pattern(None, mask_mod)
    handle = default_engine().handle(pattern)
    core = handle.core.create_block_mask((*planes, index(Q_LEN, "Q_LEN"), index(KV_LEN, "KV_LEN"), *block), pattern.bindings)
    return BlockMask._of(core, planes, mask_mod, separate_full_blocks)


def create_mask(mod_fn, B, H, Q_LEN, KV_LEN, device=None):
    """bool (B, H, Q_LEN, KV_LEN): which pairs a mask_mod allows, or where a score_mod of 0 is not -inf."""
    planes = (1 if B is None else B, 1 if H is None else H)
    if not isinstance(mod_fn, str) and kind_of(mod_fn) == "score":
        score_mod = mod_fn

        def mod_fn(b, h, q_idx, kv_idx):
            return score_mod(b.new_zeros((), dtype=torch.float32), b, h, q_idx, kv_idx) != -math.inf

    pattern = Pattern(None, mod_fn)
    handle = default_engine().handle(pattern)
    elements = [handle.core.mask_elements((*planes, Q_LEN, KV_LEN, BLOCK, BLOCK), b, h, pattern.bindings)
                for b in range(planes[0]) for h in range(planes[1])]
    return torch.frombuffer(bytearray(b"".join(elements)), dtype=torch.bool).view(*planes, Q_LEN, KV_LEN)
