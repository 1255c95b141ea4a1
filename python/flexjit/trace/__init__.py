"""Python functions -> texts of the language, by running them once on values that write down what is computed with them.

    traced = trace(lambda score, b, h, q, k: score - slope[h] * (q - k))
    traced.text       # "(score - (s0[h] * (q_idx - kv_idx)))"
    traced.captured   # {"s0": slope}, the array itself
"""
import inspect
import weakref

from .. import _core
from . import arrays, functions  # noqa: F401  (they register themselves)
from .branches import every_branch
from .graph import Graph, TraceError, refuse, text
from .held import ROOT, Held, rebound, shape_of, still
from .watch import watched
from .value import Value, Vector, convert, lift

ARGUMENTS = {"score": ("score", "b", "h", "q_idx", "kv_idx"), "mask": ("b", "h", "q_idx", "kv_idx")}
NO_SIGNATURE = "a score_mod takes (score, b, h, q_idx, kv_idx), a mask_mod (b, h, q_idx, kv_idx)"


class Traced:
    """kind: "score" or "mask". text: `let` statements and an expression. captured: {name: array}. declared: {name: (dtype, rank)}."""

    __slots__ = ("kind", "text", "captured", "declared", "key")

    def __init__(self, kind, expression, captured):
        self.kind, self.text, self.captured = kind, expression, captured
        self.declared = {name: (_core.dtype_name(array), max(1, len(array.shape))) for name, array in captured.items()}
        self.key = (expression, tuple(self.declared.items()))

    def of_others(self, captured):
        """The same of other arrays, which are like these."""
        again = Traced.__new__(Traced)
        again.kind, again.text, again.captured, again.declared, again.key = self.kind, self.text, captured, self.declared, self.key
        return again

    def program(self):
        """The whole text, as a *.flex file has it."""
        lines = [f"buffer {name} : {dtype}[{', '.join('?' * rank)}]" for name, (dtype, rank) in self.declared.items()]
        *lets, last = self.text.split("\n")
        return "\n".join([*lines, *lets, f"{self.kind} = {last}"]) + "\n"


KEPT = 1024
_traces = weakref.WeakKeyDictionary()  # function -> {(kind, branches): (checks, Traced)}
_texts = {}  # (kind, branches, Held.kind) -> (Traced without arrays, {name: which of the arrays that the function holds})


def trace(function, kind, branches=False):
    """Traces a Python function as a "score" or a "mask" mod. The same function object with the same closure is traced once, and so
    are functions of the same code whose closures differ in the contents of arrays alone. branches: conditions on its arguments are
    taken both ways, for functions that were written for Python's numbers."""
    try:
        known = _traces.get(function)
    except TypeError:  # no weak references, or no hash: never kept
        known = None
    if known is not None and (kind, branches) in known:
        checks, traced = known[kind, branches]
        if still(checks, function):
            return traced
    held = Held(function)
    return like_another(function, kind, branches, held) if held.constant else traced_anew(function, kind, branches, held)[0]


def like_another(function, kind, branches, held):
    found = _texts.get((kind, branches, held.kind))
    if found is None:
        traced, graph = traced_anew(function, kind, branches, held)
        order = list(held.arrays)
        if graph.looked_at or any(id(array) not in held.arrays for array in traced.captured.values()):
            return traced
        found = traced.of_others(None), {name: order.index(id(array)) for name, array in traced.captured.items()}
        if len(_texts) >= KEPT:
            _texts.clear()
        _texts[kind, branches, held.kind] = found
    else:
        arrays_held = list(held.arrays.values())
        traced = found[0].of_others({name: arrays_held[at] for name, at in found[1].items()})
    try:
        _traces.setdefault(function, {})[kind, branches] = (held.checks, traced)
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
        checks, _ = _traces[function][kind, False]
    except (TypeError, KeyError):
        return None
    result = []
    for get, owner, name, was in checks:
        if get is not shape_of:
            result.append((None if owner is ROOT else owner, name, was))
        elif not any(name[0](owner, name[1]) is array for array in captured):
            return None
    return result


def traced_anew(function, kind, branches, held):
    graph = Graph(kind[0], held.arrays if held.constant else None)
    called = function
    if held.numpy or not held.constant:
        called = rebound(function, lambda array: arrays.Captured(graph, array), {})
    return run(called, kind, graph, getattr(function, "__name__", function), branches), graph


def trace_once(function, kind, held):
    """Traces what is no function of a user: a graph, called with the arrays `held` besides."""
    return run(lambda *values: function(*values, *held), kind, Graph(kind[0], None), "the mod")


def run(function, kind, graph, name, branches=False):
    values = {"score": "float", "b": "int", "h": "int", "q_idx": "int", "kv_idx": "int"}
    try:
        args = [graph.value(values[arg], arg, (), arg != "score") for arg in ARGUMENTS[kind]]
        with watched(graph):
            result = every_branch(graph, function, args) if branches else function(*args)
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
    expression = text(convert(value, "float" if kind == "score" else "bool"))
    return Traced(kind, expression, {name: array for name, array in graph.captured.values()})


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
