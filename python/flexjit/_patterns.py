"""A score and a mask, each a text or a Python function, with what they capture -> keywords of a spec and bindings of a call."""
import functools
import json
import operator

from . import _core
from .trace import Traced, trace


class Pattern:
    """score_mod, mask_mod: expressions. buffers: {name: (dtype, rank)}. params: {name: value}. bindings: {name: array or number}."""

    __slots__ = ("score_mod", "mask_mod", "program", "language", "buffers", "params", "bindings", "key", "traced_score")

    def __init__(self, score_mod=None, mask_mod=None, program=None, bindings=None, language=None):
        self.program = program or ""
        self.language = language or "flex"
        self.bindings = dict(bindings) if bindings else {}
        self.buffers, self.params, self.traced_score = {}, {}, ()
        for name, value in self.bindings.items():
            if isinstance(value, (bool, int, float)):
                self.params[name] = value
            else:
                self.buffers[name] = (_core.dtype_name(value), max(1, len(value.shape)))
        declared = tuple(self.buffers.items())
        self.score_mod, score_key = self.take(score_mod, "score")
        self.mask_mod, mask_key = self.take(mask_mod, "mask")
        kinds = tuple([(name, type(value)) for name, value in self.params.items()])
        self.key = (self.program, self.language, score_key, mask_key, declared, kinds)
        if self.program or self.language != "flex":  # which declare their names themselves
            self.buffers, self.params = {}, {}

    def take(self, mod, kind):
        if mod is None:
            return "", None
        if isinstance(mod, str):
            return mod, mod
        if self.language != "flex":
            raise TypeError(f"with language={self.language!r} {kind}_mod is a text, not a {type(mod).__name__}")
        traced = mod if isinstance(mod, Traced) else trace(mod, kind)
        self.bindings.update(traced.captured)
        self.buffers.update(traced.declared)
        if kind == "score":
            self.traced_score = tuple(traced.captured)
        return traced.text, traced.key

    def keywords(self):
        return {"program": self.program, "language": self.language, "score_mod": self.score_mod, "mask_mod": self.mask_mod, "buffers": self.buffers,
                "params": self.params}

    def written(self):
        """The pattern without its bindings as a text, for `read`: what stands for it in a graph, which may outlive the process."""
        return json.dumps({"score": self.score_mod, "mask": self.mask_mod, "buffers": self.buffers, "of_score": self.traced_score})


class Written:
    """A pattern that was written: key and keywords() as of a Pattern, buffers in the order of its captured arrays."""

    __slots__ = ("key", "score_mod", "mask_mod", "buffers", "traced_score")

    def written(self):
        return self.key

    def __init__(self, text):
        parts = json.loads(text)
        self.key, self.score_mod, self.mask_mod, self.traced_score = text, parts["score"], parts["mask"], tuple(parts["of_score"])
        self.buffers = {name: tuple(declared) for name, declared in parts["buffers"].items()}

    def keywords(self):
        return {"score_mod": self.score_mod, "mask_mod": self.mask_mod, "buffers": self.buffers}


read = functools.lru_cache(512)(Written)


def program_text(score_mod, mask_mod, buffers, params=()):
    """A whole program, as a *.flex file has it, of expressions with `let` statements before them. buffers: {name: (dtype, rank)};
    params: {name: value}."""
    kinds = {bool: "bool", int: "int", float: "float"}
    lines = [f"buffer {name} : {dtype}[{', '.join('?' * rank)}]" for name, (dtype, rank) in buffers.items()]
    lines += [f"param {name} : {kinds[type(params[name])]}" for name in params]
    for kind, text in (("score", score_mod), ("mask", mask_mod)):
        statements = [line.partition("#")[0].strip() for line in text.splitlines()]
        statements = [line.rstrip(";") for line in statements if line]
        if len(statements) > 1:  # lets of each in a scope of its own
            lines.append(f"{kind} = ({'; '.join(statements)})")
        elif statements:
            lines.append(f"{kind} = {statements[0]}")
    return "\n".join(lines or ["score = score"]) + "\n"


def refuse_other_kind(mod, kind):
    """A mask_mod in the place of a score_mod, or the reverse, is told at once."""
    code = getattr(mod, "__code__", None)
    if code is None:
        return
    needed = code.co_argcount - len(mod.__defaults__ or ()) - hasattr(mod, "__self__")
    if needed == (4 if kind == "score" else 5):
        raise TypeError(f"{kind}_mod takes {5 if kind == 'score' else 4} arguments; this function of {needed} is a "
                        f"{'mask_mod' if kind == 'score' else 'score_mod'}")


def pattern_of(score_mod=None, mask_mod=None, program=None, bindings=None, language=None):
    refuse_other_kind(score_mod, "score")
    refuse_other_kind(mask_mod, "mask")
    return Pattern(score_mod, mask_mod, program, bindings, language)


def index(x, name):
    try:
        return operator.index(x)
    except TypeError:
        raise TypeError(f"{name} is an int, not a {type(x).__name__}") from None
