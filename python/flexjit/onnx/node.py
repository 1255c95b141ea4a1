"""One FlexAttention node -> a pattern that can be called."""
import numpy

from .. import _core
from .._engine import attention
from .._patterns import program_text
from ..trace import Traced
from ..trace.graph import text
from ..trace.value import convert
from .graph import Body, OnnxError, refuse
from .operators import attribute

DOMAIN = "ai.onnx.preview"
DTYPES = {1: "f32", 11: "f64", 10: "f16", 16: "bf16", 7: "i64", 6: "i32", 3: "i8", 2: "u8", 9: "bool"}  # TensorProto's types


class Scope:
    """The graph around the node: its initializers and what is known about its other tensors."""

    def __init__(self, graph):
        self.graph = graph
        self.arrays = {}

    def array(self, proto):
        from onnx import numpy_helper

        return numpy_helper.to_array(proto)

    def initializer(self, name):
        if name not in self.arrays:
            found = [proto for proto in self.graph.initializer if proto.name == name]
            constants = [node for node in self.graph.node if node.op_type == "Constant" and name in node.output]
            if found:
                self.arrays[name] = self.array(found[0])
            elif constants and attribute(constants[0], "value") is not None:
                self.arrays[name] = self.array(attribute(constants[0], "value"))
        return self.arrays.get(name)

    def declaration(self, name):
        """(element type, shape) of an input or an intermediate result of the model."""
        for info in (*self.graph.input, *self.graph.value_info):
            if info.name == name and info.type.tensor_type.elem_type in DTYPES and info.type.tensor_type.HasField("shape"):
                dims = info.type.tensor_type.shape.dim
                return DTYPES[info.type.tensor_type.elem_type], tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
        raise OnnxError(f"'{name}' comes from outside of the node, and the model does not say its type and rank: onnx.shape_inference.infer_shapes does")


def split(body, name):
    """(name of the tensor of scores, [(condition, whether it is one of pairs that are allowed)]): what is -inf elsewhere is a mask."""
    node = body.nodes.get(name)
    if node is None or node.op_type not in ("Where", "Add", "Identity"):
        return name, []
    if node.op_type == "Identity":
        return split(body, node.input[0])
    if node.op_type == "Where":
        for allowed, kept, other in ((True, 1, 2), (False, 2, 1)):
            if number_of(body, node.input[other]) == -numpy.inf and not body.tensor(node.input[0]).scored:
                rest, conditions = split(body, node.input[kept])
                return rest, [*conditions, (node.input[0], allowed)]
        return name, []
    for score, added in (node.input, reversed(node.input)):
        where = body.nodes.get(added)
        if where is None or where.op_type != "Where" or body.tensor(where.input[0]).scored:
            continue
        for allowed, zero, other in ((True, 1, 2), (False, 2, 1)):
            if number_of(body, where.input[zero]) == 0 and number_of(body, where.input[other]) == -numpy.inf:
                rest, conditions = split(body, score)
                return rest, [*conditions, (where.input[0], allowed)]
    return name, []


def number_of(body, name):
    array = body.tensor(name).array
    return array.item() if array is not None and array.size == 1 else None


def factor_of(proto, scope):
    """What a prob_mod multiplies all weights by."""
    body = Body(proto, scope, "score", {})
    factor, name = 1.0, proto.output[0].name
    while name != proto.input[0].name:
        node = body.nodes.get(name)
        if node is None or node.op_type not in ("Mul", "Div", "Identity"):
            raise OnnxError(f"prob_mod: weights can be multiplied by a number; {node.op_type if node else name} is not that")
        numbers = [number_of(body, each) for each in node.input]
        place = 0 if node.op_type != "Mul" or numbers[0] is None else 1
        if node.op_type != "Identity":
            number = numbers[1 - place]
            if number is None:
                refuse(node, "prob_mod: weights can be multiplied by a number that the model holds, and by nothing else")
            factor = factor * number if node.op_type == "Mul" else factor / number
        name = node.input[place]
    return factor


class FlexNode:
    """name; inputs: the names of q, k and v; score_mod, mask_mod: texts, "" for none; captured: {buffer: array} that the model holds;
    outer: {name in the model: (buffer, dtype, rank)} of tensors that the model is given or computes, which a call binds by their
    names; scale: None for 1 / sqrt(head_dim); factor: what prob_mod multiplies the weights by. Immutable; threads may call it at once."""

    def __init__(self, proto, graph):
        self.name, self.inputs = proto.name or proto.output[0], tuple(proto.input)
        self.scale, self.precision = attribute(proto, "scale"), attribute(proto, "softmax_precision")
        self.captured, self.outer, self.declared, self.factor = {}, {}, {}, 1.0
        self.score_mod = self.mask_mod = ""
        scope, score_mod, prob_mod = Scope(graph), attribute(proto, "score_mod"), attribute(proto, "prob_mod")
        if score_mod is not None:
            self.take(score_mod, scope)
        if prob_mod is not None:
            self.factor = factor_of(prob_mod, scope)

    def take(self, proto, scope):
        if len(proto.input) != 1 or len(proto.output) != 1:
            raise OnnxError(f"score_mod of '{self.name}' has {len(proto.input)} inputs and {len(proto.output)} outputs; it has one of each")
        body = Body(proto, scope, "score", self.outer)
        scores, conditions = split(body, body.output)
        if scores != proto.input[0].name:
            self.score_mod = self.finished(body, "score", body.tensor(scores).broadcast(body.positions))
        if conditions:
            body = Body(proto, scope, "mask", self.outer)
            allowed = [(body.tensor(name).broadcast(body.positions), wanted) for name, wanted in conditions]
            whole = body.graph.constant(True)
            for value, wanted in allowed:
                whole = whole & (value if wanted else ~convert(value, "bool"))
            self.mask_mod = self.finished(body, "mask", whole)

    def finished(self, body, kind, value):
        expression = text(convert(value, "float" if kind == "score" else "bool"))
        traced = Traced(kind, expression, {name: array for name, array in body.graph.captured.values()})
        self.captured.update(traced.captured)
        self.declared.update(traced.declared)
        return traced.text

    @property
    def text(self):
        """The whole pattern, as a *.flex file has it."""
        buffers = {**self.declared, **{buffer: declared for buffer, *declared in self.outer.values()}}
        return program_text(self.score_mod, self.mask_mod, buffers)

    def __call__(self, q, k, v, **tensors):
        """Y (batch, q_heads, q_len, v_head_dim) of arrays as flexjit.attention takes them; tensors: those of `outer`, by name."""
        missing = [name for name in self.outer if name not in tensors]
        if missing or len(tensors) > len(self.outer):
            raise OnnxError(f"{self.name} takes {', '.join(self.outer) or 'nothing'} beside q, k and v, not {', '.join(tensors) or 'nothing'}")
        if self.precision == 11 and _core.dtype_name(q) != "f64":
            raise OnnxError(f"{self.name}: softmax_precision is double; flexjit computes that for q, k and v of float64 alone")
        bindings = {**self.captured, **{self.outer[name][0]: array for name, array in tensors.items()}}
        out = attention(q, k, v, self.score_mod or None, self.mask_mod or None, bindings=bindings, scale=self.scale)
        if self.factor != 1:
            out *= self.factor
        return out

    def __repr__(self):
        return f"FlexNode({self.name!r}, score_mod={self.score_mod!r}, mask_mod={self.mask_mod!r})"
