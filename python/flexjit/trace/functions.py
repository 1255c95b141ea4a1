"""Functions and methods of torch and numpy by name -> values. One table: both libraries' names lead to it."""
import sys

from . import graph as g
from .value import (OPERATORS, Value, Vector, binary, bits, common, compare, convert, divide, inverted, lift, logical, negative, power)

TABLE = {}
KIND_OF = {"bool": "bool", "bool_": "bool", "int32": "int", "int": "int", "int8": "int", "uint8": "int", "int16": "int", "int64": "int64",
           "long": "int64", "float32": "float", "float": "float", "float64": "float", "double": "float", "float16": "float", "half": "float",
           "bfloat16": "float"}
NUMPY = {"absolute": "abs", "fabs": "abs", "multiply": "mul", "subtract": "sub", "add": "add", "divide": "div", "true_divide": "div",
         "power": "pow", "float_power": "pow", "rint": "round", "conjugate": "positive", "remainder": "mod", "fmod": "fmod",
         "left_shift": "lshift", "right_shift": "rshift", "bitwise_left_shift": "lshift", "bitwise_right_shift": "rshift",
         "bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor", "bitwise_not": "invert", "invert": "invert",
         "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le", "equal": "eq", "not_equal": "ne",
         "clip": "clamp", "fmax": "maximum", "fmin": "minimum", "max": "max", "min": "min", "concatenate": "cat"}


def entry(*names):
    def add(function):
        for name in names:
            TABLE[name] = function
        return function

    return add


def call(name, args, kwargs):
    if name.endswith("_") and not name.endswith("__"):
        g.refuse(f"`{name}`, which changes a value in its place", f"write x = x.{name[:-1]}(...)")
    name = name.strip("_")
    name = NUMPY.get(name, name)
    found = TABLE.get(name)
    if found is None and name.startswith("r") and name[1:] in TABLE and len(args) == 2:
        found, args = TABLE[name[1:]], args[::-1]
    if found is None:
        g.refuse(f"`{name}`", "docs/python.md lists what can be traced; " + OPERATORS)
    graph = graph_of(args) or graph_of(tuple(kwargs.values()))
    kwargs.pop("out", None)
    return found(graph, *args, **kwargs)


def method(value, name):
    """What value.name gives: an attribute of a 0-dim tensor, or a bound method."""
    if name in ATTRIBUTES:
        return ATTRIBUTES[name](value)
    if name.endswith("_") and name[:-1] in TABLE:
        return lambda *args, **kwargs: call(name, args, kwargs)
    if name not in TABLE:
        g.refuse(f"`.{name}`", "docs/python.md lists what can be traced; " + OPERATORS)
    return lambda *args, **kwargs: call(name, (value, *args), kwargs)


def graph_of(args):
    for arg in args:
        if hasattr(arg, "graph"):
            return arg.graph
        if isinstance(arg, (tuple, list)):
            found = graph_of(arg)
            if found:
                return found
    return None


def over(operation, *values):
    """One operation on numbers, or on each element where a vector is among them."""
    if any(isinstance(value, Vector) for value in values):
        return Vector.joined(operation, *values)
    return operation(*values)


def unary(template, kind="float", nonneg=False):
    def one(value):
        return value.graph.value(kind, template, (convert(value, kind),), nonneg)

    return lambda graph, input, **ignored: over(one, lift(graph, input))


for names, template, nonneg in (
        ("exp", "exp({0})", True), ("exp2", "exp2({0})", True), ("log", "log({0})", False), ("log2", "log2({0})", False),
        ("log1p", "log1p({0})", False), ("log10", "(log({0}) * 0.4342944819032518)", False), ("expm1", "(exp({0}) - 1.0)", False),
        ("tanh", "tanh({0})", False), ("erf", "erf({0})", False), ("sigmoid expit", "sigmoid({0})", True), ("sin", "sin({0})", False),
        ("cos", "cos({0})", False), ("tan", "(sin({0}) / cos({0}))", False), ("sqrt", "sqrt({0})", True), ("rsqrt", "rsqrt({0})", True),
        ("reciprocal", "(1.0 / {0})", False), ("silu", "silu({0})", False), ("deg2rad", "({0} * 0.017453292519943295)", False)):
    for name in names.split():
        TABLE[name] = unary(template, nonneg=nonneg)


def two(operation, *operator):
    def apply(graph, input, other):
        return operation(*operator, lift(graph, input), lift(graph, other))

    return apply


for names, function in (
        ("mul multiply", two(binary, "*")), ("floor_divide floordiv", two(binary, "//")), ("remainder mod", two(binary, "%")),
        ("pow", two(power)), ("and bitwise_and", two(bits, "&")), ("or bitwise_or", two(bits, "|")), ("xor bitwise_xor", two(bits, "^")),
        ("lshift bitwise_left_shift", two(bits, "<<")), ("rshift bitwise_right_shift", two(bits, ">>")),
        ("lt less", two(compare, "<")), ("le less_equal", two(compare, "<=")), ("gt greater", two(compare, ">")),
        ("ge greater_equal", two(compare, ">=")), ("eq", two(compare, "==")), ("ne not_equal", two(compare, "!=")),
        ("logical_and", two(logical, "&&")), ("logical_or", two(logical, "||")), ("true_divide truediv", two(divide))):
    for name in names.split():
        TABLE[name] = function


@entry("add")
def add(graph, input, other, alpha=1):
    other = lift(graph, other)
    return binary("+", lift(graph, input), other if alpha == 1 else binary("*", other, graph.constant(alpha)))


@entry("sub", "subtract")
def subtract(graph, input, other, alpha=1):
    other = lift(graph, other)
    return binary("-", lift(graph, input), other if alpha == 1 else binary("*", other, graph.constant(alpha)))


@entry("div")
def div(graph, input, other, rounding_mode=None):
    a, b = lift(graph, input), lift(graph, other)
    if rounding_mode == "floor":
        return binary("//", a, b)
    if rounding_mode == "trunc":
        integral = "float" not in (a.kind, b.kind)
        return trunc(graph, divide(a, b)) if not integral else over(lambda x: convert(x, "int"), divide(a, b))
    return divide(a, b)


@entry("fmod")
def fmod(graph, input, other):
    a, b = lift(graph, input), lift(graph, other)
    left = binary("%", absolute(graph, a), absolute(graph, b))
    return where(graph, compare("<", a, graph.constant(0)), negative(left), left)


@entry("neg", "negative")
def neg(graph, input):
    return negative(lift(graph, input))


@entry("positive", "contiguous", "clone", "detach", "squeeze", "unsqueeze", "view", "reshape", "expand", "cpu", "expand_as")
def same(graph, input, *ignored, **also):
    return lift(graph, input)


@entry("invert", "bitwise_not")
def invert(graph, input):
    return inverted(lift(graph, input))


@entry("logical_not")
def logical_not(graph, input):
    return over(lambda x: inverted(convert(x, "bool")), lift(graph, input))


@entry("logical_xor")
def logical_xor(graph, input, other):
    return over(lambda x, y: compare("!=", convert(x, "bool"), convert(y, "bool")), lift(graph, input), lift(graph, other))


@entry("abs", "absolute")
def absolute(graph, input):
    return over(lambda x: x if x.kind == "bool" else graph.value(x.kind, "abs({0})", (x,), True), lift(graph, input))


@entry("square")
def square(graph, input):
    x = lift(graph, input)
    return binary("*", x, x, nonneg=True)


def rounding(function):
    def one(x):
        return x.graph.value("float", function + "({0})", (x,), x.nonneg) if x.kind == "float" else x

    return one


for name in ("floor", "ceil"):
    TABLE[name] = lambda graph, input, one=rounding(name): over(one, lift(graph, input))


@entry("round", "around")
def round_(graph, input, decimals=0):
    x = lift(graph, input)
    if decimals == 0:
        return over(rounding("round"), x)
    scale = graph.constant(10.0 ** decimals)
    return divide(over(rounding("round"), binary("*", x, scale)), scale)


@entry("trunc", "fix")
def trunc(graph, input):
    return over(lambda x: graph.value("float", "({0} < 0.0 ? ceil({0}) : floor({0}))", (x,)) if x.kind == "float" else x, lift(graph, input))


@entry("frac")
def frac(graph, input):
    return binary("-", lift(graph, input), trunc(graph, input))


@entry("sign", "sgn")
def sign(graph, input):
    def one(x):
        zero, unit = ("0.0", "1.0") if x.kind == "float" else ("0", "1")
        return graph.value(x.kind, f"({{0}} > {zero} ? {unit} : ({{0}} < {zero} ? -{unit} : {zero}))", (x,))

    return over(one, lift(graph, input))


def extremum(graph, function, a, b):
    def one(x, y):
        x, y = common(x, y)
        if x.kind == "bool":
            return logical("||" if function == "max" else "&&", x, y)
        either = function == "max" and (x.nonneg or y.nonneg)
        return graph.value(x.kind, function + "({0}, {1})", (x, y), either or x.nonneg and y.nonneg)

    return over(one, lift(graph, a), lift(graph, b))


@entry("maximum", "fmax", "clamp_min")
def maximum(graph, input, other=None, min=None):
    return extremum(graph, "max", input, min if other is None else other)


@entry("minimum", "fmin", "clamp_max")
def minimum(graph, input, other=None, max=None):
    return extremum(graph, "min", input, max if other is None else other)


@entry("clamp", "clip")
def clamp(graph, input, min=None, max=None, a_min=None, a_max=None, **bounds):
    low, high = min if min is not None else a_min, max if max is not None else a_max
    if low is None or high is None:
        x = lift(graph, input)
        x = x if low is None else extremum(graph, "max", x, low)
        return x if high is None else extremum(graph, "min", x, high)

    def one(x, lo, hi):
        kind = "float" if "float" in (x.kind, lo.kind, hi.kind) else "int64" if "int64" in (x.kind, lo.kind, hi.kind) else "int"
        return graph.value(kind, "clamp({0}, {1}, {2})", tuple(convert(y, kind) for y in (x, lo, hi)), lo.nonneg and hi.nonneg)

    return over(one, lift(graph, input), lift(graph, low), lift(graph, high))


@entry("where")
def where(graph, condition, input=None, other=None, self=None, x=None, y=None):
    def one(c, a, b):
        a, b = common(a, b)
        return graph.value(a.kind, "({0} ? {1} : {2})", (convert(c, "bool"), a, b), a.nonneg and b.nonneg)

    return over(one, lift(graph, condition), lift(graph, input if input is not None else self if self is not None else x),
                lift(graph, other if other is not None else y))


@entry("masked_fill")
def masked_fill(graph, input, mask, value):
    return where(graph, mask, value, input)


@entry("lerp")
def lerp(graph, input, end, weight):
    a = lift(graph, input)
    return binary("+", a, binary("*", lift(graph, weight), binary("-", lift(graph, end), a)))


@entry("relu")
def relu(graph, input, inplace=False):
    return over(lambda x: graph.value("float", "relu({0})", (convert(x, "float"),), True), lift(graph, input))


@entry("gelu")
def gelu(graph, input, approximate="none"):
    x = convert(lift(graph, input), "float")
    if approximate == "none":
        return graph.value("float", "gelu({0})", (x,))
    return graph.value("float", "(0.5 * {0} * (1.0 + tanh(0.7978845608028654 * ({0} + 0.044715 * {0} * {0} * {0}))))", (x,))


@entry("softplus")
def softplus(graph, input, beta=1, threshold=20):
    x = convert(lift(graph, input), "float")
    y = binary("*", x, graph.constant(float(beta)))
    return graph.value("float", "({0} > {1} ? {2} : log1p(exp({0})) / {3})", (y, graph.constant(float(threshold)), x, graph.constant(float(beta))))


@entry("logsigmoid")
def logsigmoid(graph, input):
    return graph.value("float", "(min({0}, 0.0) - log1p(exp(-abs({0}))))", (convert(lift(graph, input), "float"),))


@entry("leaky_relu")
def leaky_relu(graph, input, negative_slope=0.01, inplace=False):
    x = lift(graph, input)
    return where(graph, compare(">", x, graph.constant(0.0)), x, binary("*", x, graph.constant(float(negative_slope))))


def formula(*names):
    """A function of torch by its formula on Value's operators, each argument a float."""

    def add(function):
        def apply(graph, *args, **kwargs):
            return function(*[over(lambda x: convert(x, "float"), lift(graph, x)) for x in (*args, *kwargs.values()) if not isinstance(x, bool)])

        for name in names:
            TABLE[name] = apply
        return function

    return add


def exp(x):
    return call("exp", (x,), {})


formula("sinh")(lambda x: (exp(x) - exp(-x)) * 0.5)
formula("cosh")(lambda x: (exp(x) + exp(-x)) * 0.5)
formula("erfc")(lambda x: 1.0 - call("erf", (x,), {}))
formula("logaddexp")(lambda a, b: call("maximum", (a, b), {}) + call("log1p", (exp(-abs(a - b)),), {}))
formula("hypot")(lambda a, b: call("sqrt", (a * a + b * b,), {}))
formula("softsign")(lambda x: x / (1.0 + abs(x)))
formula("relu6")(lambda x: call("clamp", (x, 0.0, 6.0), {}))
formula("hardsigmoid")(lambda x: call("clamp", (x / 6.0 + 0.5, 0.0, 1.0), {}))
formula("mish")(lambda x: x * call("tanh", (call("log1p", (exp(x),), {}),), {}))


@entry("elu")
def elu(graph, input, alpha=1.0, *ignored, **also):
    x = convert(lift(graph, input), "float")
    return where(graph, x > 0.0, x, alpha * (exp(x) - 1.0))


@entry("hardtanh")
def hardtanh(graph, input, min_val=-1.0, max_val=1.0, inplace=False):
    return clamp(graph, input, min_val, max_val)


@entry("isnan")
def isnan(graph, input):
    x = lift(graph, input)
    return compare("!=", x, x)


@entry("isinf")
def isinf(graph, input):
    return compare("==", absolute(graph, input), graph.constant(float("inf")))


@entry("isfinite")
def isfinite(graph, input):
    return compare("<", absolute(graph, input), graph.constant(float("inf")))


@entry("isin")
def isin(graph, elements, test_elements, assume_unique=False, invert=False):
    element = lift(graph, elements)
    if isinstance(test_elements, (list, tuple)):
        found = graph.constant(False)
        for one in test_elements:
            found = logical("||", found, compare("==", element, lift(graph, one)))
    else:
        found = compare("==", element, lift(graph, test_elements))
        found = found.reduced("any") if isinstance(found, Vector) else found
    return inverted(found) if invert else found


@entry("bucketize")
def bucketize(graph, input, boundaries, out_int32=False, right=False):
    x = lift(graph, input)
    below = compare("<=" if right else "<", lift(graph, boundaries), x)
    return below.reduced("sum")


@entry("searchsorted")
def searchsorted(graph, sorted_sequence, input, out_int32=False, right=False, side=None):
    return bucketize(graph, input, sorted_sequence, right=right or side == "right")


def joined(graph, items, operation):
    result = lift(graph, items[0])
    for item in items[1:]:
        result = operation(result, lift(graph, item))
    return result


@entry("stack", "cat")
def stack(graph, tensors, dim=0, **ignored):
    values = [lift(graph, item) for item in tensors]

    def at(n):
        if n.args == () and n.template.isdigit():
            return values[int(n.template)]
        result = values[-1]
        for k in range(len(values) - 2, -1, -1):
            result = where(graph, compare("==", n, graph.constant(k)), values[k], result)
        return result

    return Vector(graph, len(values), at)


def reduction(how):
    def apply(graph, input, dim=None, keepdim=False, axis=None, **ignored):
        value = input if isinstance(input, Vector) else lift(graph, input)
        return value.reduced(how) if isinstance(value, Vector) else convert(value, "bool") if how != "sum" else value

    return apply


for how in ("any", "all", "sum"):
    TABLE[how] = reduction(how)


@entry("mean")
def mean(graph, input, *ignored, **also):
    value = lift(graph, input)
    return divide(value.reduced("sum"), graph.constant(value.length)) if isinstance(value, Vector) else value


@entry("dot", "inner", "vdot", "matmul")
def dot(graph, input, other, tensor=None):
    product = binary("*", lift(graph, input), lift(graph, other))
    return product.reduced("sum") if isinstance(product, Vector) else product


def chosen(function):
    def apply(graph, input, other=None, dim=None, **ignored):
        value = lift(graph, input)
        if other is not None and not isinstance(value, Vector):
            return extremum(graph, function, value, other)
        if isinstance(value, Vector) and value.length <= 64:
            return joined(graph, [value.at(graph.constant(n)) for n in range(value.length)], lambda a, b: extremum(graph, function, a, b))
        g.refuse(f"`{function}` of {value.kind}", "torch.maximum and torch.minimum take two numbers")

    return apply


TABLE["max"], TABLE["min"] = chosen("max"), chosen("min")
TABLE["amax"], TABLE["amin"] = TABLE["max"], TABLE["min"]


def kind_of(dtype):
    name = getattr(dtype, "__name__", None) or str(dtype).removeprefix("torch.")
    return KIND_OF.get(name)


def to(graph, input, *args, **kwargs):
    value = lift(graph, input)
    for arg in (*args, kwargs.get("dtype")):
        if isinstance(arg, Value):
            return over(lambda x: convert(x, arg.kind), value)
        kind = kind_of(arg) if arg is not None and not isinstance(arg, bool) else None
        if kind:
            return over(lambda x: convert(x, kind), value)
    return value


for name in ("to", "type", "type_as", "astype"):
    TABLE[name] = to
for name, kind in (("float", "float"), ("double", "float"), ("half", "float"), ("bfloat16", "float"), ("int", "int"), ("long", "int64"), ("bool", "bool")):
    TABLE[name] = lambda graph, input, *ignored, kind=kind: over(lambda x: convert(x, kind), lift(graph, input))


def filled(graph, like, x, dtype):
    value = lift(graph, x)
    kind = kind_of(dtype) if dtype is not None else getattr(like, "kind", "float")
    return convert(value, kind) if kind else value


@entry("full_like", "new_full")
def full_like(graph, input, *args, fill_value=None, dtype=None, **ignored):
    return filled(graph, input, args[-1] if args else fill_value, dtype)


@entry("zeros_like", "new_zeros")
def zeros_like(graph, input, *ignored, dtype=None, **also):
    return filled(graph, input, 0, dtype)


@entry("ones_like", "new_ones")
def ones_like(graph, input, *ignored, dtype=None, **also):
    return filled(graph, input, 1, dtype)


@entry("new_tensor")
def new_tensor(graph, input, data, dtype=None, **ignored):
    return filled(graph, None, data, dtype) if dtype is not None else lift(graph, data)


@entry("getitem")
def getitem(graph, array, index):
    return gathered(graph, array, index)


def gathered(graph, array, index):
    return sys.modules[__package__ + ".arrays"].gather(graph, array, (), index)


@entry("index_select", "gather")
def index_select(graph, input, dim, index, **ignored):
    if dim not in (0, -len(input.shape)):
        g.refuse(f"an index along dimension {dim}", "index the tensor: table[i, j]")
    return gathered(graph, input, index)


@entry("take")
def take(graph, input, index):
    if len(input.shape) != 1:
        g.refuse("`take` of several dimensions", "index the tensor: table[i, j]")
    return gathered(graph, input, index)


@entry("embedding")
def embedding(graph, input, weight, *ignored, **also):
    return gathered(graph, weight, input)


@entry("item", "tolist", "numpy")
def item(graph, *ignored):
    g.refuse(".item() of a value of the kernel", "compute with the value itself; what is known outside becomes a Python number there")


def torch_name(name):
    return getattr(sys.modules.get("torch") or sys.modules.get("numpy"), name)


ATTRIBUTES = {
    "shape": lambda value: (value.length,) if isinstance(value, Vector) else (),
    "ndim": lambda value: 1 if isinstance(value, Vector) else 0,
    "dim": lambda value: lambda: 1 if isinstance(value, Vector) else 0,
    "numel": lambda value: lambda: value.length if isinstance(value, Vector) else 1,
    "size": lambda value: lambda dim=None: (() if dim is None else g.refuse("`.size(dim)`", "values of a mod have no dimensions")),
    "dtype": lambda value: torch_name({"bool": "bool", "int": "int32", "int64": "int64", "float": "float32"}[lift(value.graph, value).kind]),
    "device": lambda value: torch_name("device")("cpu"),
    "T": lambda value: value,
    "requires_grad": lambda value: False,
    "where": lambda value: lambda condition, other: where(value.graph, condition, value, other),
    "is_floating_point": lambda value: lambda: value.kind == "float",
}
