"""A function whose Python conditions depend on its arguments (`if`, `and`, min, a chained comparison) -> one value: it is run once
for each way through it, and the results are joined by `where`."""
from . import graph as g
from .functions import call
from .value import convert, lift

MOST = 64  # ways


class Path:
    """One run that takes `decisions` at its first conditions and True at the others: the conditions that it met, its result."""

    def __init__(self, graph, function, args, decisions):
        self.conditions = []
        known = {}  # by the id of a condition: a function may ask twice

        def decide(value):
            value = convert(value, "bool")
            if id(value) not in known:
                at = len(self.conditions)
                self.conditions.append(value)
                known[id(value)] = decisions[at] if at < len(decisions) else True
            return known[id(value)]

        graph.decide = decide
        try:
            self.result = function(*args)
        finally:
            graph.decide = None


def every_branch(graph, function, args):
    """What function(*args) returns, whatever its conditions are."""
    ways = 0

    def explore(decisions):
        nonlocal ways
        ways += 1
        if ways > MOST:
            g.refuse(f"a function with more than {MOST} ways through it", "write its conditions with & | ~ and where")
        path = Path(graph, function, args, decisions)
        result = path.result
        for at in reversed(range(len(decisions), len(path.conditions))):
            other = explore(decisions + [True] * (at - len(decisions)) + [False])
            result = joined(graph, path.conditions[at], result, other)
        return result

    return explore([])


def joined(graph, condition, then, otherwise):
    if then is None or otherwise is None:
        g.refuse("a mod that returns nothing on one of its ways", "return the score, or whether the pair is allowed, on each")
    then, otherwise = lift(graph, then), lift(graph, otherwise)
    if condition.kind == then.kind == otherwise.kind == "bool":  # blocks of a mask are decided best by && and ||
        if otherwise is condition or is_constant(otherwise, "false"):
            return condition & then
        if then is condition or is_constant(then, "true"):
            return condition | otherwise
    return call("where", (condition, then, otherwise), {})


def is_constant(value, text):
    return value.args == () and value.template == text
