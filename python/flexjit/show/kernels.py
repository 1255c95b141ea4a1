"""A compiled pattern -> HTML for notebooks: its text, what is computed where, its loops and its tiles."""
import html as escaped

VIEWS = (("source", "the text, each part with the loop that computes it"), ("hoisting", "what each value varies with"), ("nest", "the loops of the kernel"),
         ("plan", "tiles, registers and scratch"))  # none of them needs LLVM


def html(handle):
    facts = [f"{handle.core.target}", f"kernel: {handle.kernel_source}" + (f", {handle.compile_ms:.0f} ms" if handle.compile_ms else "")]
    facts += [f"{name} = {value}" for name, value in handle.spec.items()
              if value is not None and value != {} and name not in ("program", "score_mod", "mask_mod", "buffers", "params")]
    parts = [f"<p><b>flexjit.Attention</b>: {escaped.escape(', '.join(facts))}</p>", f"<pre>{escaped.escape(handle.text)}</pre>"]
    for view, title in VIEWS:
        text = escaped.escape(handle.inspect(view))
        parts.append(f"<details><summary>{view}: {title}</summary><pre>{text}</pre></details>")
    return "<div>" + "".join(parts) + "</div>"
