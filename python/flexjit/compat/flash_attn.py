"""FlashAttention's interface (flash_attn, version 2) on flexjit:

    from flexjit.compat.flash_attn import flash_attn_func

Tensors are (batch, seqlen, heads, dim) or packed (total, heads, dim), of float32, float64, float16 or bfloat16; any head dim to 1024,
another one for v. Query head h reads key head h // (heads // heads_k). torch tensors have gradients, and a dropout that
torch.manual_seed repeats; numpy arrays work alike without gradients. docs/flash_attention.md says what goes beyond FlashAttention.
"""
from .. import _core
from .._arrays import empty
from .._engine import default_engine
from .._patterns import Pattern
from ._flash import EXTRA, Call, FlashAttentionError, checked, draw, in_rows, lse_type, parts, shape_of, weights_of, written

__all__ = ["FlashAttentionError", "flash_attn_func", "flash_attn_kvpacked_func", "flash_attn_qkvpacked_func", "flash_attn_varlen_func",
           "flash_attn_varlen_kvpacked_func", "flash_attn_varlen_qkvpacked_func", "flash_attn_with_kvcache"]

BATCH, PACKED = "(batch, seqlen, heads, dim)", "(total, heads, dim)"


def attend(q, k, v, varlen, return_attn_probs, options, *, engine=None, score_mod=None, mask_mod=None, bindings=None, learnable_sink=None,
           rng_state=None, always_probs=False):
    """out, or (out, softmax_lse, s_dmask): s_dmask of a call without dropout is empty, as FlashAttention's is, unless always_probs."""
    for name, x in (("q", q), ("k", k), ("v", v)):
        paged = varlen and name != "q" and options.get("block_table") is not None
        shape_of(x, name, 3 if varlen and not paged else 4, PACKED if varlen and not paged else "(num_blocks, page_size, heads, dim)" if paged else BATCH)
    if options["dropout_p"] and rng_state is None:
        rng_state = draw(q)
    probs = return_attn_probs and (always_probs or options["dropout_p"] > 0)
    options = {**options, "rng_state": rng_state, "return_attn_probs": probs}
    call = Call(varlen, options, engine, score_mod, mask_mod, bindings, learnable_sink)
    out, lse = call.run(q, k, v)
    if not return_attn_probs:
        return out
    batch = options["cu_seqlens_q"].shape[0] - 1 if varlen else q.shape[0]
    longest = (options["max_seqlen_q"] or longest_of(options["cu_seqlens_q"])) if varlen else q.shape[1]
    return out, lse, weights_of(call, q, longest, batch) if probs else empty(q, (0,), _core.dtype_name(q))


def longest_of(cu_seqlens):
    return max((int(end) - int(begin) for begin, end in zip(cu_seqlens[:-1], cu_seqlens[1:])), default=0)


def flags(dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes):
    return {"dropout_p": dropout_p, "softmax_scale": softmax_scale, "causal": causal, "window_size": window_size, "softcap": softcap,
            "alibi_slopes": in_rows(alibi_slopes)}


def flash_attn_func(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None,
                    deterministic=False, return_attn_probs=False, **extra):
    """softmax(softmax_scale q k^T) v, (batch, seqlen_q, heads, dim of v), of the type of q. q (batch, seqlen_q, heads, dim), k and v
    (batch, seqlen_k, heads_k, dim); softmax_scale 1 / sqrt(dim) by default. causal and window_size (left, right; -1: unbounded) end
    in the bottom-right corner; softcap 0: none; alibi_slopes float32 (heads,) or (batch, heads). With return_attn_probs also
    softmax_lse, float32 (batch, heads, seqlen_q), and s_dmask (batch, heads, seqlen_q, seqlen_k), empty without dropout: for
    looking, slow. deterministic: always."""
    options = flags(dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes)
    return attend(q, k, v, False, return_attn_probs, options, **extra)


def flash_attn_qkvpacked_func(qkv, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None,
                              deterministic=False, return_attn_probs=False, **extra):
    """As flash_attn_func, with q, k and v side by side in qkv (batch, seqlen, 3, heads, dim), read where they lie."""
    q, k, v = parts(qkv, "qkv", 2, 3, "(batch, seqlen, 3, heads, dim)")
    return flash_attn_func(q, k, v, dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes, deterministic, return_attn_probs, **extra)


def flash_attn_kvpacked_func(q, kv, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None,
                             deterministic=False, return_attn_probs=False, **extra):
    """As flash_attn_func, with k and v side by side in kv (batch, seqlen_k, 2, heads_k, dim), read where they lie."""
    k, v = parts(kv, "kv", 2, 2, "(batch, seqlen_k, 2, heads_k, dim)")
    return flash_attn_func(q, k, v, dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes, deterministic, return_attn_probs, **extra)


def flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q=None, max_seqlen_k=None, dropout_p=0.0, softmax_scale=None,
                           causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None, deterministic=False,
                           return_attn_probs=False, block_table=None, *, seqused_q=None, seqused_k=None, leftpad_k=None, **extra):
    """Sequences packed one behind the other: q (total_q, heads, dim), k and v (total_k, heads_k, dim); sequence b has the rows from
    cu_seqlens[b] to cu_seqlens[b + 1], int32 (batch + 1,). max_seqlen: at least the longest; None finds it out. block_table, int32
    (batch, max_blocks): k and v are (num_blocks, page_size, heads_k, dim). seqused_q, seqused_k, leftpad_k, int32 (batch,): only so
    many rows of each sequence count, so many keys of those are left out at the begin. out (total_q, heads, dim); softmax_lse, with
    return_attn_probs, (heads, total_q)."""
    options = {**flags(dropout_p, softmax_scale, causal, window_size, softcap, alibi_slopes), "cu_seqlens_q": cu_seqlens_q,
               "cu_seqlens_k": cu_seqlens_k, "max_seqlen_q": max_seqlen_q or 0, "max_seqlen_k": max_seqlen_k or 0, "block_table": block_table,
               "seqused_k": seqused_k, "leftpad_k": leftpad_k}
    if seqused_q is not None:
        options["seqused_q"] = seqused_q
    return attend(q, k, v, True, return_attn_probs, options, **extra)


def flash_attn_varlen_qkvpacked_func(qkv, cu_seqlens, max_seqlen=None, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1),
                                     softcap=0.0, alibi_slopes=None, deterministic=False, return_attn_probs=False, **extra):
    """As flash_attn_varlen_func, with q, k and v side by side in qkv (total, 3, heads, dim)."""
    q, k, v = parts(qkv, "qkv", 1, 3, "(total, 3, heads, dim)")
    return flash_attn_varlen_func(q, k, v, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, dropout_p, softmax_scale, causal, window_size, softcap,
                                  alibi_slopes, deterministic, return_attn_probs, **extra)


def flash_attn_varlen_kvpacked_func(q, kv, cu_seqlens_q, cu_seqlens_k, max_seqlen_q=None, max_seqlen_k=None, dropout_p=0.0, softmax_scale=None,
                                    causal=False, window_size=(-1, -1), softcap=0.0, alibi_slopes=None, deterministic=False,
                                    return_attn_probs=False, **extra):
    """As flash_attn_varlen_func, with k and v side by side in kv (total_k, 2, heads_k, dim), or with block_table=
    (num_blocks, page_size, 2, heads_k, dim)."""
    paged = extra.get("block_table") is not None
    k, v = parts(kv, "kv", 2, 2, "(num_blocks, page_size, 2, heads_k, dim)") if paged else parts(kv, "kv", 1, 2, "(total_k, 2, heads_k, dim)")
    return flash_attn_varlen_func(q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p, softmax_scale, causal, window_size,
                                  softcap, alibi_slopes, deterministic, return_attn_probs, **extra)


def flash_attn_with_kvcache(q, k_cache, v_cache, k=None, v=None, rotary_cos=None, rotary_sin=None, cache_seqlens=None, cache_batch_idx=None,
                            cache_leftpad=None, block_table=None, softmax_scale=None, causal=False, window_size=(-1, -1), softcap=0.0,
                            rotary_interleaved=True, alibi_slopes=None, num_splits=0, return_softmax_lse=False, *,
                            return_cache_seqlens=False, engine=None, score_mod=None, mask_mod=None, bindings=None, learnable_sink=None):
    """Attention over keys and values in a cache, which k and v (batch, seqlen_new, heads_k, dim), if given, are appended to first, in
    place, behind cache_seqlens, an int or int32 (batch,). The cache is (batch, seqlen_cache, heads_k, dim), or with block_table,
    int32 (batch, max_blocks), pages (num_blocks, page_size, heads_k, dim) of any size. rotary_cos, rotary_sin (positions,
    rotary_dim / 2) rotate the new keys and the queries. out (batch, seqlen_q, heads, dim of v), with return_softmax_lse also
    softmax_lse, float32 (batch, heads, seqlen_q), with return_cache_seqlens the lengths with the new keys, int32 (batch,). On an error
    the cache is as it was. Has no gradients."""
    batch, seqlen_q, heads, _ = shape_of(q, "q", 4, BATCH)
    shape_of(v_cache, "v_cache", 4, BATCH)
    pattern = Pattern(score_mod, mask_mod, None, bindings)
    out = empty(q, (batch, seqlen_q, heads, v_cache.shape[3]), _core.dtype_name(q))
    lse = empty(q, (batch, heads, seqlen_q), lse_type(q)) if return_softmax_lse else None
    lengths = empty(q, (batch,), "i32") if return_cache_seqlens else None
    checked(_core.flash_attn_with_kvcache, (engine or default_engine()).core, q=in_rows(q), k_cache=k_cache, v_cache=v_cache, k=in_rows(k), v=in_rows(v),
            out=out, softmax_lse=lse, rotary_cos=in_rows(rotary_cos), rotary_sin=in_rows(rotary_sin), cache_seqlens=cache_seqlens,
            cache_batch_idx=cache_batch_idx, cache_leftpad=cache_leftpad, block_table=block_table, softmax_scale=softmax_scale, causal=causal,
            window_size=window_size, softcap=softcap, rotary_interleaved=rotary_interleaved, alibi_slopes=in_rows(alibi_slopes), num_splits=num_splits,
            learnable_sink=learnable_sink, score_mod=pattern.score_mod, mask_mod=pattern.mask_mod, bindings=pattern.bindings,
            return_cache_seqlens=lengths)
    if k is not None:
        written(k_cache, v_cache)
    result = (out, *[x for x in (lse, lengths) if x is not None])
    return result if len(result) > 1 else out


for function in (flash_attn_func, flash_attn_qkvpacked_func, flash_attn_kvpacked_func, flash_attn_varlen_func, flash_attn_varlen_qkvpacked_func,
                 flash_attn_varlen_kvpacked_func, flash_attn_with_kvcache):
    function.__doc__ += EXTRA
