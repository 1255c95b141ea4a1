"""Notices that a mod reads the contents of a torch tensor while it is traced (x.item(), float(x), `if x`, a number x[2]): its text
holds for these contents alone, so that it is not kept."""
import contextlib
import sys

LOOKS = {"item", "tolist", "numpy", "__array__", "__bool__", "__float__", "__int__", "__index__", "__contains__", "__format__", "equal",
         "allclose", "is_nonzero"}


def watched(graph):
    torch = sys.modules.get("torch")
    if torch is None or not graph.known:
        return contextlib.nullcontext()
    return watch_of(torch)(graph)


def watch_of(torch):
    global watch_of

    class Watch(torch.overrides.TorchFunctionMode):
        def __init__(self, graph):
            super().__init__()
            self.graph, self.seen = graph, dict(graph.known)  # arrays that are held, and what is made of them

        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for arg in args:
                if any(id(x) in self.seen for x in (arg if isinstance(arg, (tuple, list)) else (arg,))):
                    if getattr(function, "__name__", "") in LOOKS:
                        self.graph.looked_at = True
                    elif isinstance(result, torch.Tensor):
                        self.seen[id(result)] = result
            return result

    watch_of = lambda torch: Watch  # noqa: E731
    return Watch
