"""Captured arrays: torch tensors and numpy arrays that a mod reads. A read becomes `name[i, j]`; the array itself is bound."""
from . import graph as g
from .. import _core
from .value import Operators, Vector, from_end, lift

KINDS = {"f32": "float", "f64": "float", "f16": "float", "bf16": "float", "i64": "int64", "i32": "int", "i8": "int", "u8": "int", "bool": "bool",
         "e4m3": "float", "e5m2": "float"}


def dtype_of(array):
    name = _core.dtype_name(array)
    if not name:
        g.refuse(f"a captured array of {array.dtype}", "float32, float64, float16, bfloat16, int64, int32, int8, uint8 and bool can be read: convert it")
    return name


def number_or_vector(graph, array):
    """An array in an expression, without an index."""
    if type(array) is Captured:
        if array.indices:
            g.refuse(f"an array of shape {array.shape} without an index", "index all of its dimensions but at most the last one")
        array = array.array
    rank = len(array.shape)
    if rank == 0:
        folded = graph.known is not None and id(array) not in graph.known and not getattr(array, "requires_grad", False)
        if folded:  # made inside the mod: a constant
            return graph.constant(array.item())
        return read(graph, array, (graph.constant(0),))
    if rank == 1:
        return Vector(graph, int(array.shape[0]), lambda n: read(graph, array, (n,)))
    g.refuse(f"a captured array of shape {tuple(array.shape)} without an index", "index all of its dimensions but at most the last one")


def read(graph, array, indices):
    dtype = dtype_of(array)
    name = graph.capture(array)
    template = name + "[" + ", ".join(f"{{{n}}}" for n in range(len(indices))) + "]"
    return graph.value(KINDS[dtype], template, tuple(indices), dtype == "u8")


def index_of(graph, array, dim, index):
    value = lift(graph, index)
    return value if isinstance(value, Vector) else from_end(value, array.shape[dim])


class Captured(Operators):
    """An array of which some dimensions have got an index; one that is left makes a Vector."""

    __slots__ = ("graph", "array", "indices")

    def __init__(self, graph, array, indices=()):
        self.graph, self.array, self.indices = graph, array, indices

    @property
    def shape(self):
        return tuple(self.array.shape[len(self.indices):])

    @property
    def dtype(self):
        return self.array.dtype

    @property
    def ndim(self):
        return len(self.array.shape) - len(self.indices)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        return gather(self.graph, self.array, self.indices, index)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name in ("item", "tolist"):
            self.graph.looked_at = True
        if not self.indices and name in ("numel", "size", "dim", "device", "T", "stride", "item", "tolist"):
            return getattr(self.array, name)
        return super().__getattr__(name)


def gather(graph, array, before, index):
    index = index if isinstance(index, tuple) else (index,)
    rank = len(array.shape)
    at = [n for n, item in enumerate(index) if item is Ellipsis]
    if at:
        left = rank - len(before) - len(index) + 1
        index = index[:at[0]] + (slice(None),) * left + index[at[0] + 1:]
    taken = list(before)
    vector = None  # the dimension that is left as a whole, or indexed by a vector
    for item in index:
        if len(taken) == rank:
            g.refuse(f"{len(before) + len(index)} indices into an array of {rank} dimensions", "give one index for each dimension")
        if isinstance(item, slice):
            if item != slice(None):
                g.refuse("a slice of a captured array", "slice it before the mod, or compute the index")
            item = Vector(graph, int(array.shape[len(taken)]), lambda n: n)
        else:
            item = index_of(graph, array, len(taken), item)
        if isinstance(item, Vector):
            if vector is not None:
                g.refuse("more than one dimension without an index", "index all dimensions but one")
            vector = len(taken)
        taken.append(item)
    if len(taken) == rank and vector is None:
        return read(graph, array, taken)
    if len(taken) == rank or (len(taken) == rank - 1 and vector is None):
        if vector is None:
            vector = rank - 1
            taken.append(Vector(graph, int(array.shape[-1]), lambda n: n))
        whole = taken[vector]
        return Vector(graph, whole.length, lambda n: read(graph, array, [*taken[:vector], whole.at(n), *taken[vector + 1:]]))
    if vector is not None:
        g.refuse("more than one dimension without an index", "index all dimensions but one")
    return Captured(graph, array, tuple(taken))

