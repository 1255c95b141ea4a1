"""The graph of a score_mod -> Tensors, whose elements are values of a trace. An ONNX graph computes with whole tensors that
broadcast; a kernel computes one score, so that a tensor here is a function from indices to the expression of that element."""
from ..trace import arrays
from ..trace.graph import Graph

SCORES = ("batch_size", "num_heads", "q_len", "kv_len")  # the extents of the scores, by the language's names
POSITIONS = ("b", "h", "q_idx", "kv_idx")


class OnnxError(ValueError):
    """A graph that is no pattern of attention; the text names the operator and the node."""


def refuse(node, why):
    raise OnnxError(f"{node.op_type} '{node.name or ', '.join(node.output)}': {why}")


class Tensor:
    """shape: an int, a name of the language or None (not known) for each dimension. at: indices -> a trace's value. array: the
    contents where they are known; items: those of a vector of extents, ints and names. scored: whether it depends on the scores."""

    def __init__(self, shape, at, *, array=None, items=None, scored=False):
        self.shape, self.at, self.array, self.items, self.scored = tuple(shape), at, array, items, scored

    def broadcast(self, indices):
        """The element that takes part in element `indices` of a result of at least as many dimensions."""
        last = indices[len(indices) - len(self.shape):]
        return self.at(tuple(0 if extent == 1 else index for extent, index in zip(self.shape, last)))


def broadcast_shape(node, shapes):
    result = []
    for n in range(max((len(shape) for shape in shapes), default=0)):
        extents = {shape[-1 - n] for shape in shapes if len(shape) > n} - {1}
        known = {extent for extent in extents if extent is not None}
        if len({extent for extent in known if isinstance(extent, int)}) > 1:
            refuse(node, f"shapes {', '.join(map(str, shapes))} do not broadcast")
        result.append(min(known, key=str) if known else None if extents else 1)
    return tuple(reversed(result))


class Body:
    """One score_mod under trace, as a "score" or a "mask". tensors: by name. outer: {name in the model: (buffer, dtype, rank)} of what
    the model computes or is given, which grows as it is read."""

    def __init__(self, proto, scope, kind, outer):
        from .operators import evaluate

        self.graph, self.scope, self.outer = Graph(kind[0], None), scope, outer
        self.nodes = {name: node for node in proto.node for name in node.output}
        self.positions = tuple(self.graph.value("int", name, (), True) for name in POSITIONS)
        self.score = self.graph.value("float", "score")
        self.tensors = {proto.input[0].name: Tensor(SCORES, self.element, scored=True)}
        self.tensors.update({tensor.name: self.known(scope.array(tensor)) for tensor in proto.initializer})
        self.evaluate, self.output = evaluate, proto.output[0].name

    def element(self, indices):
        if not all(index is position for index, position in zip(indices, self.positions)):
            raise OnnxError("a score is modified by other scores; a pattern sees one at a time")
        return self.score

    def known(self, array):
        """A tensor of known contents: a number in the text, or captured by it."""
        items = array.reshape(-1).tolist() if array.ndim < 2 and array.dtype.kind in "iu" else None
        if array.size == 1:
            return Tensor(array.shape, lambda indices: self.graph.constant(array.item()), array=array, items=items)
        return Tensor(array.shape, lambda indices: arrays.gather(self.graph, array, (), tuple(indices)), array=array, items=items)

    def extents(self, items):
        """A vector of extents, as Shape makes it."""
        return Tensor((len(items),), lambda indices: self.extent(items[constant_of(indices[0])]), items=list(items))

    def extent(self, item):
        return self.graph.constant(item) if isinstance(item, int) else self.graph.value("int", item, (), True)

    def tensor(self, name):
        found = self.tensors.get(name)
        if found is None:
            node = self.nodes.get(name)
            found = self.tensors[name] = self.from_model(name) if node is None else self.evaluate(self, node)
        return found

    def from_model(self, name):
        """A tensor of the graph around the node."""
        array = self.scope.initializer(name)
        if array is not None:
            return self.known(array)
        dtype, shape = self.scope.declaration(name)
        buffer, *_ = self.outer.setdefault(name, (f"outer{len(self.outer)}", dtype, max(1, len(shape))))
        template = buffer + "[" + ", ".join(f"{{{n}}}" for n in range(max(1, len(shape)))) + "]"

        def at(indices):
            return self.graph.value(arrays.KINDS[dtype], template, tuple(self.number(i) for i in indices) or (self.graph.constant(0),))

        return Tensor(shape, at)

    def number(self, index):
        return self.graph.constant(index) if isinstance(index, int) else index


def constant_of(index):
    """The number that an index is; extents are picked by nothing else."""
    if isinstance(index, int):
        return index
    if not index.args and index.template.isdigit():
        return int(index.template)
    raise OnnxError("an extent is picked by an index that is not constant")
