"""A pattern -> what each part of its text costs: every part is compiled out, and both patterns run in turn."""
import statistics
import time

import numpy

from .. import _core
from .._engine import default_engine, types_of
from .._patterns import Pattern, pattern_of, program_text

NOISE = 3  # percent below which a cost is not told from noise


class Explanation:
    """ms: median of a call. blocks: (empty, partial, full). parts: dicts of role, text, place, loop, replacement, parent, decides_mask and percent,
    the share of the call that is spared without the part; percent is None where the variant does not run. reads: how captured arrays
    are read."""

    def __init__(self, text, ms, blocks, parts, reads):
        self.text, self.ms, self.blocks, self.parts, self.reads = text, ms, blocks, parts, reads

    def rows(self):
        for part in self.parts:
            percent = part["percent"]
            cost = "cannot be left out" if percent is None else "none" if abs(percent) < NOISE else f"{percent:.0f}%" if percent > 0 else f"saves {-percent:.0f}%"
            yield part["text"], part["role"], part["loop"] or "", cost

    def lines(self):
        empty, partial, full = self.blocks
        yield f"a call takes {self.ms:.3f} ms; blocks: {full} full, {partial} partial, {empty} empty and skipped"
        for read in self.reads:
            how = "proved in range" if read["proved"] else "checked"
            yield f"{read['buffer']} is read once a {read['loop']}, {how}"

    def __str__(self):
        rows = [("part", "role", "computed once a", "cost"), *self.rows()]
        widths = [max(len(row[n]) for row in rows) for n in range(4)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        return "\n".join([self.text.rstrip(), "", *self.lines(), "", *table])

    __repr__ = __str__

    def _repr_html_(self):
        from html import escape

        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows())
        facts = "".join(f"<p>{escape(line)}</p>" for line in self.lines())
        return f"<pre>{escape(self.text)}</pre>{facts}<table><tr><th>part</th><th>role</th><th>computed once a</th><th>cost</th></tr>{rows}</table>"


def progress(items, what):
    """tqdm's bar, where tqdm is installed and this takes more than two seconds."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return items
    return tqdm(items, desc=what, delay=2, leave=False)


def explain(score_mod=None, mask_mod=None, *, program=None, bindings=None, shape=(1, 8, 1024, 64), kv_len=None, q=None, k=None, v=None, seconds=3.0,
            engine=None):
    """An Explanation, which prints itself. Mods as attention() takes them. q, k, v: the arrays of the call; without them random ones
    of float32: q of shape (batch, heads, q_len, head_dim), k and v of kv_len keys, q_len where it is None. seconds: about how long to
    measure. Raises flexjit.Error."""
    pattern = pattern_of(score_mod, mask_mod, program, bindings)
    text = program or program_text(pattern.score_mod, pattern.mask_mod, pattern.buffers, pattern.params)
    if q is None:
        draw = numpy.random.default_rng(0).standard_normal
        keys = (*shape[:2], shape[2] if kv_len is None else kv_len, shape[3])
        q, k, v = (draw(size, dtype=numpy.float32) for size in (shape, keys, keys))
    dtype, kv_dtype, _ = types_of(q, k, v)
    flags = dict(dtype=dtype, kv_dtype=kv_dtype, head_dim=q.shape[3], v_head_dim=v.shape[3])
    parts, reads = _core.dissect(q.shape[2], k.shape[2], program=text, **flags)
    engine = engine or default_engine()

    def runner(program_of):
        """(a function that runs a call, the call's statistics), or None where the variant is none."""
        own = Pattern(None, None, program_of, None)
        try:
            handle = engine.handle(own, **flags)
            names = {name: pattern.bindings[name] for name in (*handle.core.buffers, *handle.core.params) if name in pattern.bindings}
            out = handle.run(q, k, v, names)
            arguments = dict(q=q, k=k, v=v, out=out, bindings=names)
            return lambda: handle.core.run(**arguments)
        except _core.Error:  # the part kept a read inside its buffer
            return None

    whole = runner(text)
    if whole is None:
        engine.handle(Pattern(None, None, text, None), **flags).run(q, k, v, pattern.bindings)  # says what is wrong
    runs = [runner(part.pop("variant")) for part in progress(parts, "compiling what lacks a part")]
    times = timed([whole, *[run for run in runs if run is not None]], seconds)
    rest = iter(times[1:])
    for part, run in zip(parts, runs):
        part["percent"] = None if run is None else 100 * statistics.median(1 - other / base for base, other in zip(times[0], next(rest)))
    return Explanation(text, statistics.median(times[0]) * 1e3, whole()[:3], parts, reads)


def timed(runs, seconds):
    """Seconds of each call, in rounds that run all of them in turn."""
    times = [[] for _ in runs]
    begin = time.perf_counter()
    for run in runs:
        run()
    once = time.perf_counter() - begin
    for _ in progress(range(max(5, min(200, int(seconds / max(once, 1e-6))))), "measuring"):
        for taken, run in zip(times, runs):
            begin = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begin)
    return times
