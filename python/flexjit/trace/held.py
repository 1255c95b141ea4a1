"""What a Python function holds: its closure, defaults and the globals that its code names. Tells whether a trace still holds,
and puts values that can be traced in the place of numpy arrays, whose indexing nothing can see."""
import functools
import sys
import types

ROOT = object()  # stands for the function itself, which a trace must not keep alive
SCALARS = (bool, int, float, str, bytes, type(None), complex)
PLAIN = (types.ModuleType, type, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)


def is_array(x):
    return hasattr(type(x), "shape") and hasattr(type(x), "dtype")


def is_numpy(x):
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(x, numpy.ndarray)


def names_of(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= names_of(constant)
    return names


_names = functools.lru_cache(4096)(names_of)


class Held:
    """checks: what must be as it was for a trace to hold. constant: whether that can be told. arrays: by id, those that it holds.
    kind: equal for functions of one code that hold the like, of which other arrays are no other text; hashable where constant."""

    def __init__(self, function):
        self.checks, self.arrays, self.kind, self.constant, self.numpy = [], {}, [], True, False
        self.seen = {}
        self.root = function
        self.value(function)
        self.kind = tuple(self.kind)

    def value(self, x):
        if isinstance(x, SCALARS) or isinstance(x, PLAIN):
            self.kind += (type(x), repr(x) if type(x) is float else x)  # 0.0 is -0.0
            return
        if is_array(x):
            self.arrays.setdefault(id(x), x)
            self.kind += (list(self.arrays).index(id(x)), tuple(x.shape), x.dtype)
            self.numpy = self.numpy or is_numpy(x)
            return
        self.kind += (type(x), self.seen.get(id(x)))
        if id(x) in self.seen:
            self.constant = self.constant and x is not self.root
            return
        self.seen[id(x)] = len(self.seen)
        if isinstance(x, types.FunctionType):
            self.function(x)
        elif isinstance(x, (tuple, frozenset)):
            self.kind.append(len(x))
            for item in x:
                self.value(item)
        elif isinstance(x, functools.partial):
            self.value(x.func)
            self.value(x.args)
            self.value(tuple(x.keywords))
            self.value(tuple(x.keywords.values()))
        elif isinstance(x, types.MethodType):
            self.value(x.__func__)
            self.constant = False
        else:  # lists, dictionaries, objects: what is in them may change unseen
            self.constant = False
            for item in x if isinstance(x, list) else x.values() if isinstance(x, dict) else ():
                self.numpy = self.numpy or is_numpy(item)

    def function(self, function):
        owner = ROOT if function is self.root else function
        library = (function.__module__ or "").partition(".")[0] in ("torch", "numpy")
        if library:
            self.kind.append(function)
            return
        self.kind.append(function.__code__)
        self.checks.append((getattr, owner, "__code__", function.__code__))
        for cell in function.__closure__ or ():
            try:
                self.hold(getattr, cell, "cell_contents")
            except ValueError:  # of a function that is defined later
                self.constant = False
        if function.__defaults__:
            self.hold(getattr, function, "__defaults__", owner)
        if function.__kwdefaults__:
            self.constant = False
        names, scope = _names(function.__code__), function.__globals__
        for name in names:
            if name in scope:
                self.kind.append(name)
                self.hold(dict.get, scope, name)

    def hold(self, get, owner, name, kept=None):
        x = get(owner, name)
        self.checks.append((get, owner if kept is None else kept, name, x))
        if is_array(x):
            self.checks.append((shape_of, owner, (get, name), shape_of(owner, (get, name))))
        self.value(x)


def shape_of(owner, how):
    get, name = how
    x = get(owner, name)
    return (tuple(x.shape), x.dtype) if is_array(x) else None


def still(checks, root):
    for get, owner, name, was in checks:
        now = get(root if owner is ROOT else owner, name)
        if now is not was and (type(now) is not type(was) or not (isinstance(was, SCALARS) or type(was) is tuple and get is shape_of) or now != was
                               or was == 0 and repr(now) != repr(was)):
            return False
    return True


def rebound(x, put, done):
    """The function, list or dictionary x with put(array) in the place of each numpy array that it holds."""
    if is_numpy(x):
        return put(x)
    if id(x) in done:
        return done[id(x)]
    if isinstance(x, types.FunctionType) and (x.__module__ or "").partition(".")[0] not in ("torch", "numpy"):
        return rebound_function(x, put, done)
    if isinstance(x, functools.partial):
        again = functools.partial(rebound(x.func, put, done), *[rebound(arg, put, done) for arg in x.args],
                                  **{key: rebound(value, put, done) for key, value in x.keywords.items()})
    elif type(x) in (list, tuple):
        again = type(x)(rebound(item, put, done) for item in x)
    elif type(x) is dict:
        again = {key: rebound(value, put, done) for key, value in x.items()}
    elif isinstance(x, types.MethodType):
        again = types.MethodType(rebound(x.__func__, put, done), rebound_object(x.__self__, put, done))
    elif isinstance(x, SCALARS) or isinstance(x, PLAIN):
        return x
    else:
        again = rebound_object(x, put, done)
    done[id(x)] = again
    return again


def rebound_object(x, put, done):
    held = getattr(x, "__dict__", {})
    if not any(is_numpy(value) for value in held.values()):
        return x
    again = object.__new__(type(x))
    again.__dict__.update({key: rebound(value, put, done) for key, value in held.items()})
    return again


def rebound_function(function, put, done):
    names, scope = _names(function.__code__), function.__globals__
    replaced = {name: rebound(scope[name], put, done) for name in names
                if name in scope and (is_numpy(scope[name]) or type(scope[name]) in (list, dict, tuple, types.FunctionType, functools.partial))}
    if replaced:
        scope = {**scope, **replaced}
    cells = []
    again = types.FunctionType(function.__code__, scope, function.__name__, None, None if not function.__closure__ else tuple(types.CellType() for _ in function.__closure__))
    done[id(function)] = again
    for old, new in zip(function.__closure__ or (), again.__closure__ or ()):
        try:
            new.cell_contents = rebound(old.cell_contents, put, done)
        except ValueError:
            cells.append(new)
    again.__defaults__ = rebound(function.__defaults__, put, done) if function.__defaults__ else None
    again.__kwdefaults__ = function.__kwdefaults__
    return again
