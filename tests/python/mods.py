"""Mods as users of PyTorch's flex_attention write them. A mod is made by a function without arguments: (score_mod, mask_mod), or
either of them with the other None. BATCH, HEADS, LENGTH are the sizes that they are tried at."""
import functools
import math

import torch
import torch.nn.functional as F

BATCH, HEADS, LENGTH = 2, 4, 48
MADE = {}
INSTEAD = {}  # by name: the same mod in words that PyTorch's eager result can be had of


def random(*shape, seed=0, grad=True, dtype=torch.float32):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    return made.requires_grad_(grad)


def ints(high, *shape, seed=0, dtype=torch.int64):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def instead(make):
    INSTEAD[make.__name__.removesuffix("_")] = make
    return make


def mask(make):
    MADE[make.__name__] = lambda: (None, make())
    return make


def score(make):
    MADE[make.__name__] = lambda: (make(), None)
    return make


def pair(make):
    MADE[make.__name__] = make
    return make


def causal(b, h, q_idx, kv_idx):
    return q_idx >= kv_idx


# Masks


@mask
def plain_causal():
    return causal


@mask
def sliding_window():
    WINDOW = 9

    def mod(b, h, q_idx, kv_idx):
        return (q_idx >= kv_idx) & (q_idx - kv_idx <= WINDOW)

    return mod


@mask
def symmetric_window():
    return lambda b, h, q, k: (q - k).abs() <= 7


@mask
def window_per_head():
    sizes = torch.tensor([2, 5, 11, 40])
    return lambda b, h, q, k: (q >= k) & (q - k <= sizes[h])


@mask
def dilated():
    return lambda b, h, q, k: (torch.abs(q - k) <= 20) & ((q - k) % 4 == 0)


@mask
def strided():
    return lambda b, h, q, k: (q >= k) & ((q - k < 6) | ((q - k) % 6 == 0))


@mask
def prefix():
    length = torch.tensor([10, 21])
    return lambda b, h, q, k: (k < length[b]) | (q >= k)


@mask
def padding():
    lengths = torch.tensor([30, 48], dtype=torch.int32)
    return lambda b, h, q, k: k < lengths[b]


@mask
def left_padding():
    starts = torch.tensor([3, 0])
    return lambda b, h, q, k: torch.logical_and(k >= starts[b], q >= k)


@mask
def documents():
    doc = torch.arange(LENGTH) // 10
    return lambda b, h, q, k: doc[q] == doc[k]


@mask
def documents_per_batch_causal():
    doc = ints(4, BATCH, LENGTH).sort(-1).values

    def document(b, h, q, k):
        return doc[b, q] == doc[b, k]

    return lambda b, h, q, k: document(b, h, q, k) & causal(b, h, q, k)


@mask
def packed_with_local_positions():
    offsets = torch.tensor([0, 13, 20, 41, 48])
    doc = torch.bucketize(torch.arange(LENGTH), offsets[1:], right=True)

    def wrap(inner):
        def mod(b, h, q, k):
            return (doc[q] == doc[k]) & inner(b, h, q - offsets[doc[q]], k - offsets[doc[k]])

        return mod

    return wrap(lambda b, h, q, k: (q >= k) & (q - k < 8))


@mask
def chunks():
    return lambda b, h, q, k: (q // 16 == k // 16) & (k <= q)


@mask
def chunks_by_div():
    return lambda b, h, q, k: torch.div(q, 16, rounding_mode="floor") == torch.div(k, 16, rounding_mode="trunc")


@mask
def streaming():
    return lambda b, h, q, k: (q >= k) & ((q - k < 12) | (k < 4))


@mask
def global_tokens():
    is_global = torch.zeros(LENGTH, dtype=torch.bool)
    is_global[::17] = True
    return lambda b, h, q, k: is_global[q] | is_global[k] | ((q - k).abs() < 3)


@mask
def random_blocks():
    chosen = ints(2, LENGTH // 8, LENGTH // 8, seed=4).bool()
    return lambda b, h, q, k: chosen[q // 8, k // 8] | (q == k)


@mask
def flash_mask_columns():
    begin, end = torch.arange(LENGTH) + 5, torch.arange(LENGTH) + 20
    return lambda b, h, q, k: (k <= q) & ~((begin[k] <= q) & (q < end[k]))


@mask
def image_spans():
    image = torch.full((LENGTH,), -1)
    image[5:15] = 0
    image[30:40] = 1
    return lambda b, h, q, k: (q >= k) | ((image[q] >= 0) & (image[q] == image[k]))


@mask
def neighbourhood():
    W = 8

    def mod(b, h, q, k):
        qx, qy = q // W, q % W
        kx, ky = k // W, k % W
        return ((qx - kx).abs() <= 1) & ((qy - ky).abs() <= 2)

    return mod


@mask
def natten_clamped():
    W, H, K = 8, 6, 3

    def mod(b, h, q, k):
        qx = (q // W).clamp(K // 2, H - 1 - K // 2)
        qy = torch.clamp(q % W, min=K // 2, max=W - 1 - K // 2)
        return (torch.abs(qx - k // W) <= K // 2) & (torch.abs(qy - k % W) <= K // 2)

    return mod


@mask
def heads_choose():
    return lambda b, h, q, k: torch.where(h < 2, q >= k, (q - k).abs() < 5)


@mask
def literal_keys():
    return lambda b, h, q, k: torch.isin(k, torch.tensor([0, 1, 7])) | ((q - k).abs() <= 2)


@mask
def some_of_a_loop():
    steps = [1, 2, 4, 8, 16]

    def mod(b, h, q, k):
        found = q == k
        for step in steps:
            found = found | (q - k == step)
        return found

    return mod


@mask
def exclusive_or():
    return lambda b, h, q, k: ((q // 4) % 2 == 0) ^ ((k // 4) % 2 == 0) | (q == k)


@mask
def bits_of_a_tree():
    parents = (1 << torch.arange(LENGTH)) | (1 << (torch.arange(LENGTH) // 2))
    return lambda b, h, q, k: ((parents[q] >> k) & 1) == 1


@mask
def batch_as_rows():
    S = 12
    return lambda b, h, q, k: (q // S == k // S) & causal(b, h, q % S, k % S)


@mask
def ranges_per_query():
    spans = torch.stack([torch.arange(LENGTH) // 8 * 8, torch.arange(LENGTH) // 8 * 8 + 9], -1)
    return lambda b, h, q, k: (k >= spans[q, 0]) & (k < spans[q][1])


@mask
def any_of_ranges():
    spans = torch.stack([ints(20, LENGTH, 3), ints(20, LENGTH, 3, seed=1) + 15], -1)
    return lambda b, h, q, k: ((k >= spans[q, :, 0]) & (k < spans[q, :, 1])).any()


@mask
def offset_of_no_dimension():
    offset = torch.tensor(5)
    return lambda b, h, q, k: q + offset >= k


@mask
def partial_of_window():
    def window(size, b, h, q, k):
        return (q - k).abs() < size

    return functools.partial(window, 6)


@mask
def default_argument():
    def mod(b, h, q, k, size=11, extra=(1, 2)):
        return (q - k < size + extra[1]) & (q >= k)

    return mod


@mask
def method_of_a_module():
    class Windows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("sizes", torch.tensor([3, 4, 5, 6]))
            self.enabled = True

        def mask(self, b, h, q, k):
            near = (q - k).abs() <= self.sizes[h]
            return near if self.enabled else near & (q >= k)

    return Windows().mask


@mask
def callable_object():
    class Window:
        def __init__(self, size):
            self.size = size

        def __call__(self, b, h, q, k):
            return (q - k).abs() <= self.size

    return Window(4)


@mask
def logical_functions():
    return lambda b, h, q, k: torch.logical_or(torch.logical_not(k > q), torch.logical_xor(h == 0, k % 2 == 0))


@mask
def comparisons_by_name():
    return lambda b, h, q, k: torch.ge(q, k) & torch.lt(q - k, 9) & k.ne(3) | torch.eq(q, k)


@mask
def minimum_maximum():
    return lambda b, h, q, k: torch.minimum(q, k) >= torch.maximum(q, k) - 6


@mask
def both_joined():
    from flexjit.torch import and_masks, or_masks

    return or_masks(and_masks(causal, lambda b, h, q, k: q - k < 5), lambda b, h, q, k: k < 2)


@mask
def nothing_masked():
    return lambda b, h, q, k: q.new_ones((), dtype=torch.bool)


@mask
def whole_rows_masked():
    return lambda b, h, q, k: (q % 5 != 0) & (q >= k)


@mask
def remainders_of_negatives():
    return lambda b, h, q, k: ((k - q) % 5 < 2) & (((k - q) // 3) % 2 == 0) | (q == k)


@mask
def ranks_nested():
    doc, rank = ints(5, LENGTH).sort().values, torch.tensor([3, 1, 4, 0, 2])
    return lambda b, h, q, k: rank[doc[q]] >= rank[doc[k]]


@mask
def time_of_day():
    time = (torch.arange(LENGTH) * 1000.0).double()
    return lambda b, h, q, k: (time[q] - time[k]).abs() <= 7000


# Scores


@score
def identity():
    return lambda score, b, h, q, k: score


@score
def alibi():
    def mod(score, b, h, q_idx, kv_idx):
        scale = torch.exp2(-((h + 1) * 8.0 / HEADS))
        return score + (kv_idx - q_idx) * scale

    return mod


@score
def alibi_slopes():
    slopes = random(HEADS)
    return lambda score, b, h, q, k: score + slopes[h] * (k - q)


@score
def softcap():
    return lambda score, b, h, q, k: 5.0 * torch.tanh(score / 5.0)


@score
def relative_bias():
    table = random(HEADS, 2 * LENGTH - 1)
    return lambda score, b, h, q, k: score + table[h, q - k + LENGTH - 1]


@score
def relative_bias_from_the_end():
    table = random(2 * LENGTH)
    return lambda score, b, h, q, k: score + table[q - k]


@score
def full_bias():
    bias = random(BATCH, HEADS, LENGTH, LENGTH)
    return lambda score, b, h, q, k: score + bias[b, h, q, k]


@score
def full_bias_chained():
    bias = random(BATCH, HEADS, LENGTH, LENGTH)
    return lambda score, b, h, q, k: score + bias[b][h][q, k]


@instead
def full_bias_chained_():
    bias = random(BATCH, HEADS, LENGTH, LENGTH)
    return (lambda score, b, h, q, k: score + bias[b, h, q, k]), None


@score
def bias_of_heads():
    bias = random(1, HEADS, LENGTH, LENGTH)
    return lambda score, b, h, q, k: score + bias[0, h, q, k]


@score
def t5_buckets():
    table = random(32, HEADS)

    def bucket(n):
        base = torch.where(n > 0, 16, 0)
        n = n.abs()
        far = 8 + (torch.log(n.clamp(min=1).float() / 8) / math.log(128 / 8) * 8).to(torch.int32)
        return base + torch.where(n < 8, n, torch.clamp(far, max=15))

    return lambda score, b, h, q, k: score + table[bucket(k - q), h]


@score
def swin_bias():
    M = 6
    table = random(HEADS, (2 * M - 1) ** 2)

    def mod(score, b, h, q, k):
        dr, dc = (q // M) % M - (k // M) % M + M - 1, q % M - k % M + M - 1
        return score + table[h, dr * (2 * M - 1) + dc]

    return mod


@score
def kerple():
    r1, r2 = random(HEADS, seed=1), random(HEADS, seed=2)
    return lambda score, b, h, q, k: score - F.softplus(r1[h]) * torch.log1p(F.softplus(r2[h]) * (q - k).abs())


@score
def forgetting():
    cumulated = random(BATCH, HEADS, LENGTH)
    return lambda score, b, h, q, k: score + cumulated[b, h, q] - cumulated[b, h, k]


@score
def graph_distance():
    table, distance = random(HEADS, 6), ints(6, BATCH, LENGTH, LENGTH, dtype=torch.uint8)
    return lambda score, b, h, q, k: score + table[h, distance[b, q, k].long()]


@score
def sandwich():
    table, heads = random(2 * LENGTH, seed=1), random(HEADS, seed=2)
    return lambda score, b, h, q, k: score + table[q - k + LENGTH] * heads[h]


@score
def scales_of_blocks():
    qs, ks = random(BATCH, HEADS, LENGTH // 16, seed=1), random(BATCH, HEADS, LENGTH // 16, seed=2)
    return lambda score, b, h, q, k: score * qs[b, h, q // 16] * ks[b, h, k // 16]


@score
def rope_part():
    qp, kp = random(BATCH, HEADS, LENGTH, 4, seed=1), random(BATCH, 1, LENGTH, 4, seed=2)
    return lambda score, b, h, q, k: score + 0.3 * torch.dot(qp[b, h, q], kp[b, 0, k])


@instead
def rope_part_():
    qp, kp = random(BATCH, HEADS, LENGTH, 4, seed=1), random(BATCH, 1, LENGTH, 4, seed=2)
    return (lambda score, b, h, q, k: score + 0.3 * sum(qp[b, h, q, n] * kp[b, 0, k, n] for n in range(4))), None


@score
def rope_part_by_sum():
    qp, kp = random(LENGTH, 4, seed=1), random(LENGTH, 4, seed=2)
    return lambda score, b, h, q, k: score + (qp[q] * kp[k]).sum(-1)


@instead
def rope_part_by_sum_():
    qp, kp = random(LENGTH, 4, seed=1), random(LENGTH, 4, seed=2)
    return (lambda score, b, h, q, k: score + sum(qp[q, n] * kp[k, n] for n in range(4))), None


@score
def decay():
    return lambda score, b, h, q, k: score + 0.1 * torch.exp(-(q - k).abs() / 16.0)


@score
def two_sided():
    a, c = random(HEADS, seed=1), random(HEADS, seed=2)
    return lambda score, b, h, q, k: score + 0.1 * torch.where(q > k, a[h] * (q - k), c[h] * (k - q))


@score
def where_as_mask():
    return lambda score, b, h, q, k: torch.where(q >= k, score, -float("inf"))


@score
def where_with_full_like():
    return lambda score, b, h, q, k: torch.where(q >= k, score, torch.full_like(score, float("-inf")))


@score
def where_with_a_tensor():
    return lambda score, b, h, q, k: torch.where((q - k).abs() < 9, score, torch.tensor(-float("inf")))


@score
def square():
    return lambda score, b, h, q, k: score * score * 0.3


@score
def powers():
    return lambda score, b, h, q, k: 0.1 * score ** 3 + torch.pow(score.abs() + 1, 0.5) - score.pow(2) * 0.05


@score
def bits():
    return lambda score, b, h, q, k: score + ((q ^ k) & 255) * 0.01


@score
def log_distance():
    return lambda score, b, h, q, k: score - torch.log((q - k).abs() + 1.0)


@score
def log_scaled():
    return lambda score, b, h, q, k: score * torch.log2(q + 2.0) / math.log2(LENGTH)


@score
def sine_and_cosine():
    return lambda score, b, h, q, k: score + torch.sin(q * 0.2) * torch.cos(k * 0.2)


@score
def sigmoid_gate():
    gate = random(HEADS, LENGTH)
    return lambda score, b, h, q, k: score * torch.sigmoid(gate[h, k])


@score
def activations():
    return lambda score, b, h, q, k: F.silu(score) + 0.5 * F.gelu(score) + F.relu(score - 0.25) + torch.erf(score)


@score
def roots():
    return lambda score, b, h, q, k: score * torch.rsqrt(k + 1.0) + torch.sqrt(score * score + 1) + 1.0 / (q + 1)


@score
def rounded_positions():
    return lambda score, b, h, q, k: score + torch.floor((q - k) / 5) * 0.1 + torch.round(k / 7) * 0.05 + torch.ceil(q / 3) * 0.01


@score
def clamped():
    return lambda score, b, h, q, k: torch.clamp(score, -1.0, 1.25) + score.clamp(min=-0.5) + torch.clip(score, max=0.75)


@score
def extremes():
    return lambda score, b, h, q, k: torch.maximum(score, score * 0.1) + torch.minimum(score, torch.zeros_like(score))


@score
def bools_as_numbers():
    return lambda score, b, h, q, k: score + (q > k) * 0.5 + (h == 1).to(torch.float32) - (k % 2 == 0).float() * 0.1


@score
def integers_converted():
    return lambda score, b, h, q, k: score + (q.float() / 7).int() * 0.1 + (k.to(torch.float32) * 0.3).long() % 3


@score
def temperature():
    scale = random(()).detach().abs().add(0.5).requires_grad_()
    return lambda score, b, h, q, k: score * scale


@score
def temperature_of_a_module():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.log_scale = torch.nn.Parameter(torch.linspace(-0.5, 0.5, HEADS))
            self.shift = torch.nn.Parameter(torch.tensor(0.25))

        def score(self, score, b, h, q, k):
            return score * torch.exp(self.log_scale[h]) + self.shift * (k == 0)

    return Scaled().score


@score
def partial_with_keywords():
    def biased(score, b, h, q, k, *, table, factor):
        return score + factor * table[h, k]

    return functools.partial(biased, table=random(HEADS, LENGTH), factor=0.5)


@score
def conditions_on_numbers():
    config = {"cap": 4.0, "alibi": True}

    def mod(score, b, h, q, k):
        if config["cap"] is not None:
            score = config["cap"] * (score / config["cap"]).tanh()
        return score - 0.02 * (q - k).abs() if config["alibi"] else score

    return mod


@score
def composed():
    def compose(*mods):
        def mod(score, b, h, q, k):
            for one in mods:
                score = one(score, b, h, q, k)
            return score

        return mod

    return compose(alibi(), softcap(), lambda score, b, h, q, k: score + 0.01 * k)


@score
def bias_transposed_inside():
    bias = random(LENGTH, LENGTH)
    return lambda score, b, h, q, k: score + bias.T[q, k]


@score
def bfloat16_bias():
    bias = random(HEADS, LENGTH, dtype=torch.bfloat16, grad=False)
    return lambda score, b, h, q, k: score + bias[h, k]


@score
def lookup_of_lookup():
    kinds, table = ints(5, LENGTH), random(5, 5)
    return lambda score, b, h, q, k: score + table[kinds[q], kinds[k]]


@score
def bucketized():
    edges, table = torch.tensor([-10, -3, 0, 3, 10]), random(6)
    return lambda score, b, h, q, k: score + table[torch.bucketize(q - k, edges)]


@score
def negative_indices():
    table = random(4, HEADS)
    return lambda score, b, h, q, k: score + table[-1, h] * table[-2][h]


@score
def functions_by_formula():
    return lambda score, b, h, q, k: (torch.logaddexp(score, torch.tanh(score)) + F.elu(score) + 0.1 * torch.cosh(score) - F.softsign(score)
                                      + F.hardtanh(score, -0.5, 1.5) + F.mish(score))


@score
def embedding_of_distance():
    table = random(2 * LENGTH, HEADS)
    return lambda score, b, h, q, k: score + F.embedding(q - k + LENGTH, table)[h]


@score
def ellipsis_index():
    bias = random(HEADS, LENGTH, LENGTH)
    return lambda score, b, h, q, k: score + bias[h, ..., k][q]


@score
def filled_where_masked():
    return lambda score, b, h, q, k: score.masked_fill(~(q >= k), float("-inf")).to(score.dtype)


@score
def powers_of_two():
    return lambda score, b, h, q, k: score - 2.0 ** -(h + 1) * (q - k).abs() + 2 ** (h % 3) * 0.1


@score
def remainders_and_signs():
    return lambda score, b, h, q, k: score + torch.fmod(k - q, 5) * 0.1 + torch.remainder(score, 0.75) + torch.sign(q - k) * 0.2 + torch.trunc(score)


@score
def module_with_forward():
    class Bias(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = torch.nn.ParameterList([random(HEADS, seed=1).detach(), random(LENGTH, seed=2).detach()])

        def forward(self, score, b, h, q, k):
            return score + self.tables[0][h] * 0.5 + self.tables[1][k]

    return Bias().forward


@instead
def embedding_of_distance_():
    table = random(2 * LENGTH, HEADS)
    return (lambda score, b, h, q, k: score + table[q - k + LENGTH, h]), None


@instead
def ellipsis_index_():
    bias = random(HEADS, LENGTH, LENGTH)
    return (lambda score, b, h, q, k: score + bias[h, q, k]), None


@mask
def stacked_conditions():
    return lambda b, h, q, k: torch.stack([q == k, q - k == 3, k == 0]).any()


@mask
def loops_over_a_captured_row():
    ends = torch.tensor([9, 20, 33, 48])
    return lambda b, h, q, k: torch.bucketize(q, ends, right=True) == (k >= ends).sum()


# Both


@pair
def alibi_in_a_window():
    return alibi(), sliding_window()


@pair
def relative_bias_in_documents():
    return relative_bias(), documents()


@pair
def softcap_causal():
    return softcap(), causal


@pair
def same_tensor_in_both():
    weight = random(LENGTH)
    return (lambda score, b, h, q, k: score + weight[k]), (lambda b, h, q, k: (weight[k] > -1) & (q >= k))
