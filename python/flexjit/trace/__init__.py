"""Python functions -> texts of the language, by running them once on values that write down what is computed with them.

    traced = trace(lambda score, b, h, q, k: score - slope[h] * (q - k))
    traced.text       # "(score - (s0[h] * (q_idx - kv_idx)))"
    traced.captured   # {"s0": slope}, the array itself
"""
import inspect
import weakref

from .. import _core
from . import arrays, functions  # noqa: F401  (they register themselves)
from .graph import Graph, TraceError, refuse, text
from .held import ROOT, Held, rebound, shape_of, still
from .value import Value, Vector, convert, lift

ARGUMENTS = {"score": ("score", "b", "h", "q_idx", "kv_idx"), "mask": ("b", "h", "q_idx", "kv_idx")}
NO_SIGNATURE = "a score_mod takes (score, b, h, q_idx, kv_idx), a mask_mod (b, h, q_idx, kv_idx)"


class Traced:
    """kind: "score" or "mask". text: `let` statements and an expression. captured: {name: array}. declared: {name: (dtype, rank)}."""

    __slots__ = ("kind", "text", "captured", "declared", "key", "reusable")

    def __init__(self, kind, expression, graph):
        self.kind, self.text = kind, expression
        self.captured = {name: array for name, array in graph.captured.values()}
        self.declared = {name: (_core.dtype_name(array), max(1, len(array.shape))) for name, array in self.captured.items()}
        self.key = (expression, tuple(self.declared.items()))

    def program(self):
        """The whole text, as a *.flex file has it."""
        lines = [f"buffer {name} : {dtype}[{', '.join('?' * rank)}]" for name, (dtype, rank) in self.declared.items()]
        *lets, last = self.text.split("\n")
        return "\n".join([*lines, *lets, f"{self.kind} = {last}"]) + "\n"


_traces = weakref.WeakKeyDictionary()  # function -> {kind: (checks, Traced)}


def trace(function, kind):
    """Traces a Python function as a "score" or a "mask" mod. The same function object with the same closure is traced once."""
    try:
        known = _traces.get(function)
    except TypeError:  # no weak references, or no hash: never kept
        known = None
    if known is not None and kind in known:
        checks, traced = known[kind]
        if still(checks, function):
            return traced
    held = Held(function)
    traced = traced_anew(function, kind, held)
    if held.constant and traced.reusable:
        try:
            _traces.setdefault(function, {})[kind] = (held.checks, traced)
        except TypeError:
            pass
    return traced


def is_traced(mod):
    """Whether a mod is a text, none, or a function that was traced before."""
    try:
        return mod is None or isinstance(mod, str) or mod in _traces
    except TypeError:
        return False


def checks_of(function, kind, captured):
    """What must be as it is for the kept trace of a function to hold: (owner or None for the function, name, value) of attributes
    and of items of dictionaries. None without such a trace, or where it depends on the shape of an array that is not captured."""
    try:
        checks, _ = _traces[function][kind]
    except (TypeError, KeyError):
        return None
    result = []
    for get, owner, name, was in checks:
        if get is not shape_of:
            result.append((None if owner is ROOT else owner, name, was))
        elif not any(name[0](owner, name[1]) is array for array in captured):
            return None
    return result


def traced_anew(function, kind, held):
    graph = Graph(kind[0], held.arrays if held.constant else None)
    called = function
    if held.numpy or not held.constant:
        called = rebound(function, lambda array: arrays.Captured(graph, array), {})
    traced = run(called, kind, graph, getattr(function, "__name__", function))
    traced.reusable = all(id(array) in held.arrays for array in traced.captured.values())
    return traced


def trace_once(function, kind, held):
    """Traces what is no function of a user: a graph, called with the arrays `held` besides."""
    return run(lambda *values: function(*values, *held), kind, Graph(kind[0], None), "the mod")


def run(function, kind, graph, name):
    values = {"score": "float", "b": "int", "h": "int", "q_idx": "int", "kv_idx": "int"}
    try:
        result = function(*[graph.value(values[arg], arg, (), arg != "score") for arg in ARGUMENTS[kind]])
    except TypeError as error:
        if "positional argument" in str(error) and error.__traceback__.tb_next is None:
            raise TraceError(f"{name}: {error}\n  {NO_SIGNATURE}") from error
        raise
    if isinstance(result, (tuple, list)) and len(result) == 1:  # of a graph
        result = result[0]
    if result is None:
        refuse(f"a mod that returns nothing ({name})", "return the score, or whether the pair is allowed")
    value = lift(graph, result)
    if isinstance(value, Vector):
        value = value.at(graph.constant(0)) if value.length == 1 else refuse("a mod that returns several numbers", "it returns one")
    return Traced(kind, text(convert(value, "float" if kind == "score" else "bool")), graph)


def text_of(function, kind=None):
    """The text of a mod as a whole program; `kind` is told by the number of its arguments where it is not given."""
    if kind is None:
        kind = kind_of(function)
    return trace(function, kind).program()


def kind_of(function):
    if not hasattr(function, "__code__") and hasattr(function, "forward"):  # a torch.nn.Module
        function = function.forward
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(needed) not in (4, 5):
        raise TraceError(f"{getattr(function, '__name__', function)} takes {len(needed)} arguments\n  {NO_SIGNATURE}")
    return "score" if len(needed) == 5 else "mask"


__all__ = ["TraceError", "Traced", "trace", "trace_once", "text_of", "kind_of", "Value"]
