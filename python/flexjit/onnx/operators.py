"""ONNX operators -> Tensors: those that work element by element by the functions that traces know, and those that arrange indices."""
import numpy

from ..trace import functions
from ..trace.value import convert
from .graph import Tensor, broadcast_shape, refuse

ELEMENTWISE = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Neg": "neg", "Abs": "abs", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Tanh": "tanh",
    "Sigmoid": "sigmoid", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Erf": "erf",
    "Reciprocal": "reciprocal", "Sign": "sign", "Relu": "relu", "Softplus": "softplus", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt",
    "LessOrEqual": "le", "Equal": "eq", "And": "logical_and", "Or": "logical_or", "Xor": "logical_xor", "Not": "logical_not", "Pow": "pow",
    "Where": "where", "IsNaN": "isnan", "BitwiseAnd": "and", "BitwiseOr": "or", "BitwiseXor": "xor", "BitwiseNot": "invert",
}
KINDS = {1: "float", 10: "float", 11: "float", 16: "float", 9: "bool", 6: "int", 7: "int", 2: "int", 3: "int", 4: "int", 5: "int"}  # TensorProto's types


def attribute(node, name, default=None):
    from onnx import helper

    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def evaluate(body, node):
    """The first output of a node."""
    rule = RULES.get(node.op_type)
    if node.domain not in ("", "ai.onnx") or rule is None and node.op_type not in ELEMENTWISE:
        refuse(node, "this operator is no part of a pattern; docs/python.md lists those that are")
    inputs = [body.tensor(name) if name else None for name in node.input]
    if rule is None:
        return elementwise(body, node, inputs, lambda *values: functions.call(ELEMENTWISE[node.op_type], values, {}))
    return rule(body, node, *inputs)


def elementwise(body, node, inputs, operation):
    shape = broadcast_shape(node, [x.shape for x in inputs])
    return Tensor(shape, lambda indices: operation(*[x.broadcast(indices) for x in inputs]), scored=any(x.scored for x in inputs))


def div(body, node, a, b):
    def divide(x, y):
        whole = x.kind != "float" and y.kind != "float"
        return functions.call("div", (x, y), {"rounding_mode": "trunc"} if whole else {})

    return elementwise(body, node, [a, b], divide)


def mod(body, node, a, b):
    return elementwise(body, node, [a, b], lambda x, y: functions.call("fmod" if attribute(node, "fmod", 0) else "mod", (x, y), {}))


def extremum(function):
    def rule(body, node, *inputs):
        def fold(first, *rest):
            for value in rest:
                first = functions.call(function, (first, value), {})
            return first

        return elementwise(body, node, list(inputs), fold)

    return rule


def clip(body, node, x, low=None, high=None):
    def bound(value, *bounds):
        for function, limit in zip(functions_of, bounds):
            value = functions.call(function, (value, limit), {})
        return value

    functions_of = [name for name, limit in (("maximum", low), ("minimum", high)) if limit is not None]
    return elementwise(body, node, [x, *[limit for limit in (low, high) if limit is not None]], bound)


def leaky_relu(body, node, x):
    return elementwise(body, node, [x], lambda value: functions.call("leaky_relu", (value,), {"negative_slope": attribute(node, "alpha", 0.01)}))


def cast(body, node, x, like=None):
    kind = KINDS.get(attribute(node, "to")) if like is None else None
    if like is None and kind is None:
        refuse(node, f"a cast to element type {attribute(node, 'to')}")
    inputs = [x] if like is None else [x, like]
    made = elementwise(body, node, inputs, lambda value, *other: convert(value, other[0].kind if other else kind))
    made.items = x.items
    return made


def identity(body, node, x, *ignored):
    return x


def constant(body, node):
    from onnx import numpy_helper

    for name in ("value_float", "value_int"):
        if attribute(node, name) is not None:
            return body.known(numpy.asarray(attribute(node, name), "float32" if name == "value_float" else "int64"))
    if attribute(node, "value_ints") is not None:
        return body.known(numpy.asarray(attribute(node, "value_ints"), "int64"))
    return body.known(numpy_helper.to_array(attribute(node, "value")))


def constant_of_shape(body, node, shape):
    from onnx import numpy_helper

    value = attribute(node, "value")
    number = 0.0 if value is None else numpy_helper.to_array(value).item()
    return Tensor(known_items(node, shape), lambda indices: body.graph.constant(number))


def known_items(node, tensor):
    if tensor.items is None:
        refuse(node, "a shape that is computed in a way which this does not follow")
    return tensor.items


def shape(body, node, x):
    return body.extents(x.shape[attribute(node, "start", 0):attribute(node, "end")])


def gather(body, node, x, at):
    axis = attribute(node, "axis", 0) % max(1, len(x.shape))
    if x.items is not None and at.items is not None:
        items = [x.items[n] for n in at.items]
        return body.extents(items) if len(at.shape) == 1 else Tensor((), lambda indices: body.extent(items[0]), items=items)
    if x.scored:
        refuse(node, "scores are gathered; a pattern sees one at a time")
    shape = (*x.shape[:axis], *at.shape, *x.shape[axis + 1:])

    def element(indices):
        inner = at.at(indices[axis:axis + len(at.shape)])
        return x.at((*indices[:axis], inner, *indices[axis + len(at.shape):]))

    return Tensor(shape, element, scored=at.scored)


def range_(body, node, start, limit, step):
    whole = [x.items[0] if x.items else None for x in (start, limit, step)]
    extent = None
    if whole[0] == 0 and whole[2] == 1:
        extent = whole[1]
    elif all(isinstance(x, int) for x in whole):
        extent = max(0, -((whole[0] - whole[1]) // whole[2]))

    def element(indices):
        index = body.number(indices[0])
        if whole[2] != 1:
            index = functions.call("mul", (index, step.at(())), {})
        return index if whole[0] == 0 else functions.call("add", (index, start.at(())), {})

    return Tensor((extent,), element)


def reshaped(body, node, x, target):
    """A reshape that adds and drops dimensions of one element."""
    kept = [n for n, extent in enumerate(x.shape) if extent != 1]
    places = [n for n, extent in enumerate(target) if extent != 1]
    same = len(kept) == len(places) and all(target[p] in (-1, 0, x.shape[n]) or x.shape[n] is None for n, p in zip(kept, places))
    if not same:
        refuse(node, f"a reshape of {x.shape} to {tuple(target)}; dimensions of 1 can come and go")
    extents = [1] * len(target)
    for n, place in zip(kept, places):
        extents[place] = x.shape[n]

    def element(indices):
        full = [0] * len(x.shape)
        for n, place in zip(kept, places):
            full[n] = indices[place]
        return x.at(tuple(full))

    return Tensor(extents, element, scored=x.scored, items=x.items if len(extents) < 2 else None)


def reshape(body, node, x, target):
    items = known_items(node, target)
    if x.array is not None and all(isinstance(item, int) for item in items):
        return body.known(x.array.reshape(items))
    return reshaped(body, node, x, [x.shape[n] if item == 0 else item for n, item in enumerate(items)])


def unsqueeze(body, node, x, axes=None):
    axes = attribute(node, "axes") if axes is None else known_items(node, axes)
    rank = len(x.shape) + len(axes)
    rest = iter(x.shape)
    where = {axis % rank for axis in axes}
    if x.array is not None:
        return body.known(numpy.expand_dims(x.array, tuple(where)))
    return reshaped(body, node, x, [1 if n in where else next(rest) for n in range(rank)])


def squeeze(body, node, x, axes=None):
    axes = attribute(node, "axes") if axes is None else known_items(node, axes)
    where = {n for n, extent in enumerate(x.shape) if extent == 1} if axes is None else {axis % len(x.shape) for axis in axes}
    return reshaped(body, node, x, [extent for n, extent in enumerate(x.shape) if n not in where])


def expand(body, node, x, target):
    shape = broadcast_shape(node, [x.shape, tuple(known_items(node, target))])
    return Tensor(shape, x.broadcast, scored=x.scored)


def concat(body, node, *inputs):
    items = [item for x in inputs for item in known_items(node, x)]
    return body.extents(items)


def transpose(body, node, x):
    order = attribute(node, "perm") or list(reversed(range(len(x.shape))))

    def element(indices):
        before = [0] * len(order)
        for place, axis in enumerate(order):
            before[axis] = indices[place]
        return x.at(tuple(before))

    return Tensor([x.shape[axis] for axis in order], element, scored=x.scored)


def trilu(body, node, x, k=None):
    """The upper or lower triangle, 0 elsewhere."""
    function = "ge" if attribute(node, "upper", 1) else "le"
    offset = 0 if k is None else known_items(node, k)[0]

    def element(indices):
        row, column = (body.number(index) for index in indices[-2:])
        value = x.at(indices)
        inside = functions.call(function, (functions.call("sub", (column, row), {}), body.graph.constant(offset)), {})
        if value.kind == "bool":
            return functions.call("logical_and", (inside, value), {})
        return functions.call("where", (inside, value, body.graph.constant(0)), {})

    return Tensor(x.shape, element, scored=x.scored)


RULES = {
    "Div": div, "Mod": mod, "Max": extremum("maximum"), "Min": extremum("minimum"), "Clip": clip, "LeakyRelu": leaky_relu, "Cast": cast,
    "CastLike": cast, "Identity": identity, "Constant": constant, "ConstantOfShape": constant_of_shape, "Shape": shape, "Gather": gather,
    "Range": range_, "Reshape": reshape, "Unsqueeze": unsqueeze, "Squeeze": squeeze, "Expand": expand, "Concat": concat, "Transpose": transpose,
    "Trilu": trilu,
}
