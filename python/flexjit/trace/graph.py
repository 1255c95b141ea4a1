"""What a traced function computes: a graph of typed values, and its text in the language of docs/language.md."""
import os
import linecache
import math
import sys

from .. import _core

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
RANKS = {"bool": 0, "int": 1, "int64": 2, "float": 3}


class TraceError(_core.Error):
    """A Python function does something that no kernel can: the text names the operation, the line and what to write instead."""

    diagnostics = []


def user_line():
    """Where the user's function is now: 'file:line: source', of the innermost frame that is neither ours nor a library's."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((FOLDER, "<frozen")) and os.sep + "site-packages" + os.sep not in name and os.sep + "functools.py" not in name:
            return f"{name}:{frame.f_lineno}: {linecache.getline(name, frame.f_lineno).strip()}"
        frame = frame.f_back
    return "?"


def refuse(operation, instead):
    raise TraceError(f"{operation} cannot be traced\n  {user_line()}\n  {instead}")


def float_text(x):
    if math.isnan(x):
        return "(0.0 / 0.0)"
    if math.isinf(x):
        return "inf" if x > 0 else "(-inf)"
    text = repr(x)
    return text if x >= 0 and not text.startswith("-") else f"({text})"


class Graph:
    """The values of one trace. Equal ones are one."""

    def __init__(self, prefix, known):
        self.prefix = prefix
        self.known = known  # ids of the arrays that the function holds, None where that cannot be told
        self.values = {}
        self.captured = {}  # id -> (name, array)
        self.looked_at = False  # whether the text depends on the contents of an array that the function holds
        self.loops = 0
        self.decide = None  # Value -> bool where a Python condition on it may be taken both ways

    def value(self, kind, template, args=(), nonneg=False):
        key = (template, kind) if not args else (template, kind, *map(id, args))
        found = self.values.get(key)
        if found is None:
            found = self.values[key] = self.new(kind, template, args, nonneg)
        return found

    def new(self, kind, template, args, nonneg):
        found = Value.__new__(Value)
        found.graph, found.kind, found.template, found.args, found.nonneg = self, kind, template, args, nonneg
        loops = ()
        for arg in args:
            if arg.loops:
                loops = tuple(set(loops) | set(arg.loops))
        found.loops = loops
        return found

    def constant(self, x):
        if x is True or x is False:
            return self.value("bool", "true" if x else "false")
        if isinstance(x, int):
            if not -(2**31) <= x < 2**31:
                refuse(f"the number {x}", "an int has 32 bits: write it as a float, or put it into an int64 tensor")
            return self.value("int", str(x) if x >= 0 else f"({x})", (), x >= 0)
        return self.value("float", float_text(x), (), x >= 0)

    def capture(self, array):
        """The name of a captured array, the same for the same object."""
        found = self.captured.get(id(array))
        if found is None:
            found = self.captured[id(array)] = (f"{self.prefix}{len(self.captured)}", array)
        return found[0]

    def loop(self):
        name = f"n{self.loops}"
        self.loops += 1
        value = self.value("int", name, (), True)
        value.loops = (name,)
        return value


def text(root):
    """`let` statements for what is used more than once, then the expression."""
    order, seen, uses = [], set(), {}
    stack = [(root, False)]
    while stack:
        value, done = stack.pop()
        if done:
            order.append(value)
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        stack.append((value, True))
        for arg in value.args:
            uses[id(arg)] = uses.get(id(arg), 0) + 1
            stack.append((arg, False))
    lines, texts = [], {}
    for value in order:
        args = value.args
        written = value.template if not args else value.template.format(*[texts[id(arg)] for arg in args])
        if args and uses.get(id(value), 0) > 1 and not value.loops:
            name = f"x{len(lines)}"
            lines.append(f"let {name} = {written}\n")
            written = name
        texts[id(value)] = written
    return "".join(lines) + texts[id(root)]


from .value import Value  # noqa: E402  (the two need each other)
