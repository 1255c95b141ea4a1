"""Python's multiprocessing over a parent that has used its threads: a pool of forked workers computes what the parent does."""

import ctypes
import multiprocessing
import sys

calls = ctypes.CDLL(sys.argv[1])


def work(argument):
    threads, seed = argument
    return calls.fork_calls_kept(threads) or calls.fork_calls_all(threads, seed)


def main():
    context = multiprocessing.get_context("fork")
    arguments = [(threads, seed) for seed in range(3) for threads in (1, 2, 8)]
    for _ in range(2):
        assert [work(argument) for argument in arguments[:3]] == [0, 0, 0]
        with context.Pool(3) as pool:
            results = pool.map_async(work, arguments).get(timeout=60)  # TimeoutError: a worker hangs
        assert results == [0] * len(arguments), results


main()
