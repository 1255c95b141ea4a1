"""Value stands for a number of the kernel while a mod is traced. It takes Python's operators, torch's and numpy's functions."""
import sys

from . import graph as g

RANKS = g.RANKS
OPERATORS = "write it with torch.where, &, | and ~"


def lift(graph, x):
    """Whatever a mod computes with -> a Value, or a Vector for an array of one dimension."""
    if type(x) is Value or isinstance(x, Vector):
        return x
    if isinstance(x, (bool, int, float)):
        return graph.constant(x)
    if hasattr(getattr(x, "node", None), "pytype"):  # a torch.SymInt: as a part of the text it is a number like others
        return graph.constant(x.node.pytype(x))
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return sys.modules[__package__ + ".arrays"].number_or_vector(graph, x)
    g.refuse(f"a {type(x).__name__} in an expression", "numbers, bools and tensors are possible")


def convert(value, kind):
    """To a type of the language, as torch's .to() does."""
    if value.kind == kind or kind == "int" and value.kind == "int64":
        return value
    if kind == "bool":
        return value.graph.value("bool", "({0} != 0)", (value,))
    if kind == "int64":
        return value if value.kind == "int" else convert(value, "int")
    if value.args == () and value.kind == "int" and kind == "float" and value.template.lstrip("(-").rstrip(")").isdigit():
        return value.graph.value("float", value.template[:-1] + ".0)" if value.template[-1] == ")" else value.template + ".0", (), value.nonneg)
    return value.graph.value(kind, f"{kind}({{0}})", (value,), value.nonneg or value.kind == "bool")


def common(a, b):
    """Both in the type that torch promotes them to; bools stay bools."""
    if a.kind == b.kind:
        return a, b
    kind = a.kind if RANKS[a.kind] > RANKS[b.kind] else b.kind
    return convert(a, kind), convert(b, kind)


def binary(operator, a, b, nonneg=False):
    """+ - * // % of two numbers."""
    if isinstance(a, Vector) or isinstance(b, Vector):
        return Vector.joined(lambda x, y: binary(operator, x, y, nonneg), a, b)
    if a.kind == "bool" and b.kind == "bool":
        if operator in "*+":
            return logical("&&" if operator == "*" else "||", a, b)
        a = convert(a, "int")
    a, b = common(a, b)
    keeps = operator in ("+", "*", "//") and a.nonneg and b.nonneg or operator == "%" and b.nonneg
    return a.graph.value(a.kind, "({0} " + operator + " {1})", (a, b), keeps or nonneg)


def divide(a, b):
    if isinstance(a, Vector) or isinstance(b, Vector):
        return Vector.joined(divide, a, b)
    if RANKS[a.kind] != 1:
        a = convert(a, "float")
    if RANKS[b.kind] != 1:
        b = convert(b, "float")
    return a.graph.value("float", "({0} / {1})", (a, b))


def compare(operator, a, b):
    if isinstance(a, Vector) or isinstance(b, Vector):
        return Vector.joined(lambda x, y: compare(operator, x, y), a, b)
    if a.kind == "bool" and b.kind == "bool" and operator not in ("==", "!="):
        a, b = convert(a, "int"), convert(b, "int")
    a, b = common(a, b)
    return a.graph.value("bool", "({0} " + operator + " {1})", (a, b))


def logical(operator, a, b):
    if isinstance(a, Vector) or isinstance(b, Vector):
        return Vector.joined(lambda x, y: logical(operator, x, y), a, b)
    a, b = convert(a, "bool"), convert(b, "bool")
    return a.graph.value("bool", "({0} " + operator + " {1})", (a, b))


def bits(operator, a, b):
    """& | ^ << >>."""
    if isinstance(a, Vector) or isinstance(b, Vector):
        return Vector.joined(lambda x, y: bits(operator, x, y), a, b)
    if a.kind == "bool" and b.kind == "bool":
        return logical({"&": "&&", "|": "||", "^": "!="}[operator], a, b)
    a, b = common(a, b)
    if a.kind == "float":
        g.refuse(f"{operator} of a float", "these operators take ints and bools; comparisons in front of them need parentheses")
    return a.graph.value(a.kind, "({0} " + operator + " {1})", (a, b), operator in ("&", ">>") and a.nonneg)


def power(a, b):
    if b.args == () and b.kind == "int" and b.template.isdigit() and int(b.template) <= 8 and a.kind != "bool":
        times = int(b.template)
        result = a.graph.constant(1) if times == 0 else a
        for _ in range(times - 1):
            result = binary("*", result, a, nonneg=times % 2 == 0)
        return convert(result, "float") if a.kind == "float" else result
    if a.template == "2" and b.kind == "int" and b.nonneg:
        return a.graph.value("int", "(1 << {0})", (b,))
    if a.template == "2.0":
        return a.graph.value("float", "exp2({0})", (convert(b, "float"),), True)
    if b.template == "0.5":
        return a.graph.value("float", "sqrt({0})", (convert(a, "float"),), True)
    if a.kind != "float" and b.kind != "float":
        g.refuse("a power of ints", "make one of them a float: x.to(torch.float32)")
    return a.graph.value("float", "pow({0}, {1})", (convert(a, "float"), convert(b, "float")))


def inverted(a):
    a = lift(a.graph, a)
    if isinstance(a, Vector):
        return a.each(inverted)
    return a.graph.value(a.kind, "(!{0})" if a.kind == "bool" else "(~{0})", (a,))


def negative(a):
    a = lift(a.graph, a)
    if isinstance(a, Vector):
        return a.each(negative)
    if a.kind == "bool":
        g.refuse("- of a bool", "~ negates a bool")
    return a.graph.value(a.kind, "(-{0})", (a,))


def from_end(index, extent):
    """An index as torch takes it: below 0 it counts from the end."""
    if index.kind in ("float", "bool"):
        g.refuse(f"an index that is a {index.kind}", "indices are ints: write x.to(torch.int32), or x.long()")
    if index.nonneg:
        return index
    extent = int(extent)
    if not index.args and index.template.startswith("(-"):
        return index.graph.constant(extent + int(index.template[1:-1]))
    below = compare("<", index, index.graph.constant(0))
    return index.graph.value(index.kind, "({0} ? {1} + " + str(extent) + " : {1})", (below, index))


def both(operation, *operator):
    def forward(self, other):
        return operation(*operator, lift(self.graph, self), lift(self.graph, other))

    def backward(self, other):
        return operation(*operator, lift(self.graph, other), lift(self.graph, self))

    return forward, backward


class Operators:
    """What Value, Vector and Captured have in common."""

    __slots__ = ()
    __hash__ = object.__hash__
    __array_priority__ = 1000
    __add__, __radd__ = both(binary, "+")
    __sub__, __rsub__ = both(binary, "-")
    __mul__, __rmul__ = both(binary, "*")
    __floordiv__, __rfloordiv__ = both(binary, "//")
    __mod__, __rmod__ = both(binary, "%")
    __truediv__, __rtruediv__ = both(divide)
    __and__, __rand__ = both(bits, "&")
    __or__, __ror__ = both(bits, "|")
    __xor__, __rxor__ = both(bits, "^")
    __lshift__, __rlshift__ = both(bits, "<<")
    __rshift__, __rrshift__ = both(bits, ">>")
    __pow__, __rpow__ = both(power)
    __lt__, _ = both(compare, "<")
    __le__, _ = both(compare, "<=")
    __gt__, _ = both(compare, ">")
    __ge__, _ = both(compare, ">=")
    __eq__, _ = both(compare, "==")
    __ne__, _ = both(compare, "!=")
    __invert__ = inverted
    __neg__ = negative

    def __pos__(self):
        return self

    def __abs__(self):
        return functions().call("abs", (self,), {})

    def __round__(self, digits=None):
        return functions().call("round", (self,), {} if digits is None else {"decimals": digits})

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return functions().call(function.__name__, args, kwargs or {})

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return functions().call(ufunc.__name__, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return functions().call(function.__name__, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return functions().method(self, name)

    def __bool__(self):
        decide = self.graph.decide
        if decide is not None and type(self) is Value:
            return decide(self)
        g.refuse("a condition on a value of the kernel (`if`, `while`, `and`, `or`, `not`, a chained comparison, min, max)", OPERATORS)

    def __index__(self):
        g.refuse("a Python index or range of a value of the kernel", "capture a tensor or a numpy array and index that; lists hold only Python's numbers")

    def __int__(self):
        g.refuse("int() of a value of the kernel", "write x.to(torch.int32)")

    def __float__(self):
        g.refuse("float() or a function of `math` of a value of the kernel", "write x.to(torch.float32), or the function of torch or numpy: torch.exp, np.exp")

    def __iter__(self):
        g.refuse("a loop over a value of the kernel", "index it by numbers that are known while tracing: for n in range(4)")

    def __setitem__(self, index, value):
        g.refuse("an assignment to an element", OPERATORS)

    def __repr__(self):
        return f"<traced {self.kind}>"


class Value(Operators):
    """One number: graph, kind (bool, int, int64, float), the template of its text with its arguments, the loops that it is of."""

    __slots__ = ("graph", "kind", "template", "args", "nonneg", "loops")

    def __getitem__(self, index):
        if index is Ellipsis or index is None or index == ():
            return self
        g.refuse("an index into a single number", "values of a mod have no dimensions")


class Vector(Operators):
    """A few values along the last dimension of a captured array, or of what is computed from it."""

    __slots__ = ("graph", "length", "at")

    def __init__(self, graph, length, at):
        self.graph, self.length, self.at = graph, length, at

    @property
    def kind(self):
        return f"vector of {self.length}"

    @staticmethod
    def joined(operation, *values):
        vectors = [value for value in values if isinstance(value, Vector)]
        length = max(vector.length for vector in vectors)
        if any(vector.length not in (1, length) for vector in vectors):
            g.refuse(f"rows of {' and '.join(str(v.length) for v in vectors)} elements together", "they must be of one length")

        def at(n):
            zero = n.graph.constant(0)
            return operation(*[(v.at(n if v.length == length else zero) if isinstance(v, Vector) else v) for v in values])

        return Vector(vectors[0].graph, length, at)

    def each(self, operation):
        return Vector(self.graph, self.length, lambda n: operation(self.at(n)))

    def __getitem__(self, index):
        if isinstance(index, tuple) and len(index) == 1:
            index = index[0]
        if index is Ellipsis or isinstance(index, slice) and index == slice(None):
            return self
        return self.at(from_end(lift(self.graph, index), self.length))

    def reduced(self, how):
        """any, all or sum of the elements."""
        n = self.graph.loop()
        element = self.at(n)
        if how != "sum":
            element = convert(element, "bool")
        elif element.kind == "bool":
            element = convert(element, "int")
        result = self.graph.value(element.kind, f"{how}({n.template} in 0..{self.length} : {{0}})", (element,))
        result.loops = tuple(loop for loop in element.loops if loop != n.template)
        return result


def functions():
    return sys.modules[__package__ + ".functions"]
