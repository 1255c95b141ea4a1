"""torch.nn.attention.varlen's names and meanings: sequences of lengths of their own, packed one behind the other or in pages."""
from typing import Optional

import torch

from .. import _core
from .._engine import default_engine
from .._patterns import Pattern
from .kernel import autocast, in_rows

INT = torch.int32


def handle_of(q, k, v, scale, window):
    """window (-1, 0) is causal, negative is unbounded; the diagonal ends in the last query and key of each sequence."""
    flags = {"causal": True} if window == (-1, 0) else {"window": window} if max(window) >= 0 else {}
    return default_engine().handle(Pattern(), dtype=_core.dtype_name(q), kv_dtype=_core.dtype_name(k), head_dim=q.shape[-1],
                                   v_head_dim=v.shape[-1], scale=scale, **flags)


def packed(x):
    """(total, heads, dim) -> (1, heads, total, dim), a view."""
    return None if x is None else x.transpose(0, 1)[None]


def paged(x):
    """(pages, page_size, heads, dim) -> (pages, heads, page_size, dim), a view."""
    return x.transpose(1, 2)


def sequences_of(cu_seq_q, cu_seq_k, seqused_k, block_table):
    members = {"cu_seqlens_q": cu_seq_q, "cu_seqlens_k": None if block_table is not None else cu_seq_k, "total_len": seqused_k, "block_table": block_table}
    return {name: x.to(INT) for name, x in members.items() if x is not None}


def run(out, q, k, v, cu_seq_q, cu_seq_k, scale, window, seqused_k, block_table):
    """Writes out, and gives lse, float32 (heads, total), float64 beside a float64 q. Rows of no sequence are 0, their lse -inf."""
    lse = torch.full((q.shape[1], q.shape[0]), -float("inf"), dtype=torch.float64 if q.dtype == torch.float64 else torch.float32)
    view = packed if block_table is None else paged
    handle_of(q, k, v, scale, tuple(window)).core.run(
        q=packed(in_rows(q)), k=view(in_rows(k)), v=view(in_rows(v)), out=packed(out), lse=lse[None],
        sequences=sequences_of(cu_seq_q, cu_seq_k, seqused_k, block_table))
    return lse


@torch.library.custom_op("flexjit::varlen_attention", mutates_args=(), device_types="cpu")
def varlen_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_seq_q: torch.Tensor, cu_seq_k: Optional[torch.Tensor], scale: Optional[float],
                     window: list[int], seqused_k: Optional[torch.Tensor], block_table: Optional[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    out = q.new_zeros((*q.shape[:2], v.shape[-1]))
    return out, run(out, q, k, v, cu_seq_q, cu_seq_k, scale, window, seqused_k, block_table)


@varlen_attention.register_fake
def _(q, k, v, cu_seq_q, cu_seq_k, scale, window, seqused_k, block_table):
    return q.new_empty((*q.shape[:2], v.shape[-1])), fake_lse(q)


def fake_lse(q):
    return q.new_empty((q.shape[1], q.shape[0]), dtype=torch.float64 if q.dtype == torch.float64 else torch.float32)


@torch.library.custom_op("flexjit::varlen_attention_out", mutates_args={"out"}, device_types="cpu")
def varlen_attention_out(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu_seq_q: torch.Tensor,
                         cu_seq_k: Optional[torch.Tensor], scale: Optional[float], window: list[int], seqused_k: Optional[torch.Tensor],
                         block_table: Optional[torch.Tensor]) -> torch.Tensor:
    out.zero_()
    return run(out, q, k, v, cu_seq_q, cu_seq_k, scale, window, seqused_k, block_table)


@varlen_attention_out.register_fake
def _(out, q, k, v, cu_seq_q, cu_seq_k, scale, window, seqused_k, block_table):
    return fake_lse(q)


@torch.library.custom_op("flexjit::varlen_attention_backward", mutates_args=(), device_types="cpu")
def varlen_attention_backward(grad_out: Optional[torch.Tensor], grad_lse: Optional[torch.Tensor], q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
                              out: torch.Tensor, lse: torch.Tensor, cu_seq_q: torch.Tensor, cu_seq_k: torch.Tensor, scale: Optional[float],
                              window: list[int], seqused_k: Optional[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    grads = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))
    given = {"out": packed(in_rows(grad_out)), "lse": None if grad_lse is None else grad_lse.float()[None]}
    given.update(zip("qkv", map(packed, grads)))
    q, k, v = (packed(in_rows(x)) for x in (q, k, v))
    handle_of(q, k, v, scale, tuple(window)).core.run_backward(
        given, None, q=q, k=k, v=v, out=packed(out), lse=lse[None], sequences=sequences_of(cu_seq_q, cu_seq_k, seqused_k, None))
    return grads


@varlen_attention_backward.register_fake
def _(grad_out, grad_lse, q, k, v, out, lse, cu_seq_q, cu_seq_k, scale, window, seqused_k):
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))


def setup_context(ctx, inputs, output):
    q, k, v, cu_seq_q, cu_seq_k, scale, window, seqused_k, block_table = inputs
    if block_table is not None:
        raise RuntimeError("block_table is for inference: pages may be shared, so that their keys have no gradient of their own")
    ctx.save_for_backward(q, k, v, *output, cu_seq_q, cu_seq_k, seqused_k)
    ctx.set_materialize_grads(False)
    ctx.rest = scale, window


def backward(ctx, grad_out, grad_lse):
    q, k, v, out, lse, cu_seq_q, cu_seq_k, seqused_k = ctx.saved_tensors
    grads = (None,) * 3
    if grad_out is not None or grad_lse is not None:
        grads = varlen_attention_backward(grad_out, grad_lse, q, k, v, out, lse, cu_seq_q, cu_seq_k, *ctx.rest, seqused_k)
    return *grads, *(None,) * 6


varlen_attention.register_autograd(backward, setup_context=setup_context)


def checked(query, key, value, cu_seq_q, cu_seq_k, scale, window_size, enable_gqa, seqused_k, block_table):
    if query.dim() != 3 or key.dim() != value.dim() or key.dim() != (3 if block_table is None else 4):
        raise ValueError("query is (total, heads, dim), key and value are too, or with block_table (pages, page_size, heads, dim); "
                         f"not {tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}")
    heads, kv_heads = query.size(1), key.size(-2)
    if heads != kv_heads and not enable_gqa:
        raise ValueError(f"Expect query and key/value to have the same number of heads but got Hq={heads} and Hkv={kv_heads}. "
                         "Try setting enable_gqa=True for GQA.")
    if heads % kv_heads != 0:
        raise ValueError(f"Expect number of query heads to be a multiple of kv heads for GQA but got Hq={heads} and Hkv={kv_heads}.")
    if scale is not None and not scale > 0:
        raise ValueError(f"scale must be greater than 0, got {scale}")
    if len(window_size) != 2:
        raise ValueError(f"window_size is (left, right), not {window_size}")
    if block_table is not None and seqused_k is None:
        raise ValueError("block_table needs seqused_k: how many keys of each sequence are valid")
    if block_table is None and cu_seq_k is None:
        raise ValueError("cu_seq_k is needed where there is no block_table")


def check_longest(cu_seq, longest, name):
    found = int(cu_seq.diff().max()) if cu_seq is not None and cu_seq.numel() > 1 else 0
    if found > longest:
        raise ValueError(f"{name} is {longest}, but a sequence has a length of {found}")


def arguments(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale, window_size, enable_gqa, seqused_k, block_table):
    checked(query, key, value, cu_seq_q, cu_seq_k, scale, window_size, enable_gqa, seqused_k, block_table)
    if not torch.compiler.is_compiling():
        check_longest(cu_seq_q, max_q, "max_q")
        check_longest(cu_seq_k if block_table is None and seqused_k is None else None, max_k, "max_k")
    query, key, value = autocast(query, key, value)
    window = [-1 if size < 0 else int(size) for size in window_size]
    return query, key, value, cu_seq_q, cu_seq_k, None if scale is None else float(scale), window, seqused_k, block_table


def varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1), enable_gqa=False,
                seqused_k=None, block_table=None, num_splits=None):
    """Attention of each sequence for itself. query (total_q, Hq, D), key (total_k, Hkv, D), value (total_k, Hkv, Dv); sequence n has
    the queries [cu_seq_q[n], cu_seq_q[n + 1]), the keys likewise, of which the first seqused_k[n] count. With block_table (N,
    max_pages), key and value are (pages, page_size, Hkv, D) and key i of sequence n is row i % page_size of page
    block_table[n, i // page_size]. max_q and max_k are at least the longest lengths. window_size: (left, right), negative is
    unbounded, (-1, 0) is causal, from the last query and key of each sequence. out (total_q, Hq, Dv), 0 in rows of no sequence;
    with return_aux.lse also lse (Hq, total_q), natural. Differentiable once, by lse too, not with block_table. num_splits is
    there for other kernels: a sequence's bits depend on nothing else in the batch anyway."""
    out, lse = varlen_attention(*arguments(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale, window_size, enable_gqa, seqused_k, block_table))
    return (out, lse) if return_aux is not None and return_aux.lse else out


def varlen_attn_out(out, query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1),
                    enable_gqa=False, seqused_k=None, block_table=None, num_splits=None):
    """varlen_attn that writes to `out`, (total_q, Hq, Dv) of query's element type, its last dimension dense. Without gradients."""
    lse = varlen_attention_out(out, *arguments(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale, window_size, enable_gqa, seqused_k, block_table))
    return (out, lse) if return_aux is not None and return_aux.lse else out
