"""Serves other attention engines to `flexjit bench`: a JSON request a line on stdin, a JSON answer a line on stdout.

{"hello": true} -> {"versions": {peer: package}, "skipped": {peer: reason}}
{"peer", "pattern", "suite", "threads", "repeat", "q", "k", "v", "out", "buffers": {name: path}} (paths of .npy files, bf16 as its bits)
    -> {"ms": median of `repeat` runs after one that is not counted, "difference": largest absolute difference from "out"}
    -> {"cannot": reason} where the peer has no such thing or failed
"""
import importlib
import json
import os
import statistics
import sys
import time

ENGINES = {  # peer -> (module beside this file, function)
    "pytorch-sdpa": ("torch_peers", "prepare_sdpa"),
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


def measure(engines, request):
    """`prepare` does everything that is done once a pattern or shape, and returns the call to time and its output as fp32 numpy."""
    import numpy as np

    call, output = engines[request["peer"]](request)
    result = call()
    times = []
    for _ in range(request["repeat"]):
        begin = time.perf_counter()
        result = call()
        times.append((time.perf_counter() - begin) * 1e3)
    expected = np.load(request["out"])
    if expected.dtype == np.uint16:
        expected = (expected.astype(np.uint32) << 16).view(np.float32)
    difference = np.abs(output(result).astype(np.float64) - expected)
    worst = float(difference.max()) if difference.size else 0.0
    return {"ms": statistics.median_high(times), "difference": worst if worst == worst else 1e30}


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
