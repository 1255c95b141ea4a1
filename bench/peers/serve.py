"""Serves other attention engines to `flexjit bench`: a JSON request a line on stdin, a JSON answer a line on stdout.

{"hello": true} -> {"versions": {peer: package}, "skipped": {peer: reason}}
{"peer", "pattern", "suite", "pass", "dropout", "threads", "repeat", "q", "k", "v", "results": [path], "buffers": {name: path}} (.npy files, bf16 as its bits);
"dropout": weights are dropped, but "results" are without; of the pass "backward" also "grad_out": path, and "gradients": [name] of the buffers whose gradients are wanted after those of q, k and v
    -> {"ms": median of `repeat` runs after one that is not counted, "difference": largest absolute difference from "results"}; of
       "backward" also "extra_bytes": the peak of resident memory, in a step of both passes, beyond what there was
    -> {"cannot": reason} where the peer has no such thing or failed
"""
import ctypes
import importlib
import json
import os
import statistics
import sys
import time

ENGINES = {  # peer -> (module beside this file, function)
    "pytorch-sdpa": ("torch_peers", "prepare_without_dropout"),
    "pytorch-dropout": ("torch_peers", "prepare_dropout"),
    "flexattention": ("torch_peers", "prepare_flex"),
    "openvino": ("openvino_peer", "prepare"),
}


def import_engines():
    engines, versions, skipped = {}, {}, {}
    for peer, (module, function) in ENGINES.items():
        try:
            imported = importlib.import_module(module)
            engines[peer] = getattr(imported, function)
            versions[peer] = imported.VERSION
        except Exception as error:  # a broken installation raises anything
            skipped[peer] = one_line(error)
    return engines, {"versions": versions, "skipped": skipped}


def one_line(error):
    text = str(error).strip().splitlines()
    if isinstance(error, NotImplementedError) and text:  # our own: the peer has no such thing
        return text[0]
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def resident(field):
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(field))


def peak_beyond(step):
    """Of resident memory, in bytes; None where the system does not say."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier runs left would hide what this one takes
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
        before = resident("VmRSS:")
        step()
        return resident("VmHWM:") - before
    except (OSError, AttributeError, StopIteration):
        return None


def largest_difference(actual, path):
    import numpy as np

    expected = np.load(path)
    if expected.dtype == np.uint16:
        expected = (expected.astype(np.uint32) << 16).view(np.float32)
    difference = np.abs(actual.astype(np.float64) - expected)
    worst = float(difference.max()) if difference.size else 0.0
    return worst if worst == worst else 1e30


def measure(engines, request):
    """`prepare` does everything that is done once a pattern or shape, and returns the call to time and its results as a list of fp32 numpy."""
    call, results = engines[request["peer"]](request)
    result = call()
    times = []
    for _ in range(request["repeat"]):
        begin = time.perf_counter()
        result = call()
        times.append((time.perf_counter() - begin) * 1e3)
    worst = max(map(largest_difference, results(result), request["results"]))
    answer = {"ms": statistics.median_high(times), "difference": worst}
    if request["pass"] == "backward" and (extra := peak_beyond(call.step)) is not None:
        answer["extra_bytes"] = extra
    return answer


def answer(engines, hello, request):
    if "hello" in request:
        return hello
    try:
        return measure(engines, request)
    except Exception as error:
        return {"cannot": one_line(error)}


def main():
    # What the engines print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    engines, hello = import_engines()
    for line in sys.stdin:
        print(json.dumps(answer(engines, hello, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
