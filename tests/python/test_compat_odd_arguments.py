"""Whatever a call by another package's name is given in the place of any argument: it runs, or says what is wrong. It never ends the
process, and raises no exception that is about the inside of the library."""
import numpy as np
import pytest

from flexjit.compat import flash_attn, flash_attn_mlx, flex_flash_infer, flex_mlx

Q, CU = np.ones((2, 8, 4, 16), np.float32), np.array([0, 8, 16], np.int32)
ROWS = Q.reshape(16, 4, 16)
PAGES, TABLE = np.zeros((4, 4, 4, 16), np.float32), np.array([[0, 1, 2]], np.int32)
ODD = {
    "None": None, "int": 3, "str": "x", "no list": [], "list": [[1.0]], "number": np.array(1.0), "vector": np.ones(3), "complex": np.ones((2, 8, 4, 16), "c8"),
    "byte order": np.ones((2, 8, 4, 16), ">f4"), "objects": np.ones((2, 8, 4, 16), object), "no batch": Q[:0], "no rows": Q[:, :0], "no heads": Q[:, :, :0],
    "no dims": Q[..., :0], "rank 5": Q[..., None], "backwards": Q[:, ::-1], "dims backwards": Q[..., ::-1], "wide": np.ones((2, 8, 4, 1100), np.float32),
    "ints": np.ones((2, 8, 4, 16), np.int32), "repeated": np.broadcast_to(np.float32(1), (2, 8, 4, 16)), "huge": 2 ** 70, "nan": float("nan"),
}


def with_one(function, given):
    """A call for each argument, with the odd one in its place."""
    return [lambda odd, name=name: function(**{**given, name: odd}) for name in given]


def prepared(query, key, value):
    handle = flex_flash_infer.FlexFlashInfer()
    handle.prepare("causal", 4, 8, 8, head_dim=16, dtype="float32")
    return handle(query, key, value)


BATCH = {"q": Q, "k": Q, "v": Q}
FLAGS = dict.fromkeys(("dropout_p", "softmax_scale", "causal", "window_size", "softcap", "alibi_slopes", "return_attn_probs", "learnable_sink",
                       "score_mod", "mask_mod", "bindings", "rng_state"))
FLAGS = {**FLAGS, "dropout_p": 0.0, "softcap": 0.0, "window_size": (-1, -1)}
CALLS = [
    *with_one(flash_attn.flash_attn_func, {**BATCH, **FLAGS}),
    *with_one(flash_attn.flash_attn_qkvpacked_func, {"qkv": np.ones((2, 8, 3, 4, 16), np.float32)}),
    *with_one(flash_attn.flash_attn_varlen_func, {"q": ROWS, "k": ROWS, "v": ROWS, "cu_seqlens_q": CU, "cu_seqlens_k": CU, "max_seqlen_q": None,
                                                  "block_table": None, "seqused_q": None, "seqused_k": None, "leftpad_k": None}),
    *with_one(flash_attn_mlx.flash_attn_varlen_func, {"q": ROWS, "k": ROWS, "v": ROWS, "cu_seqlens_q": CU, "cu_seqlens_k": CU, "return_attn_probs": True}),
    *with_one(flash_attn_mlx.flash_attn_with_kvcache, {"q": Q, "k_cache": Q.copy(), "v_cache": Q.copy(), "k": Q[:, :1], "v": Q[:, :1], "cache_seqlens": 3,
                                                       "cache_batch_idx": None, "cache_leftpad": None, "block_table": None, "rotary_cos": None,
                                                       "rotary_sin": None, "num_splits": 0}),
    *with_one(flash_attn_mlx.update_paged_kv_cache, {"k_cache": PAGES, "v_cache": PAGES.copy(), "new_k": Q[:1], "new_v": Q[:1], "page_table": TABLE,
                                                     "cache_seqlens": np.zeros(1, np.int32)}),
    *with_one(flash_attn_mlx.validate_paged_kv_params, {"k_cache": PAGES, "v_cache": PAGES, "page_table": TABLE, "batch_size": 1}),
    *with_one(flex_mlx.flex_attention, {**BATCH, "score_mod": None, "mask_mod": None, "block_mask": None, "scale": None, "dropout": 0.0, "block_size": 128,
                                        "mask": None, "layout": None, "rng_state": None}),
    *with_one(flex_mlx.create_block_mask, {"mask_fn": lambda b, h, i, j: i >= j, "batch_size": 1, "num_heads": 1, "q_len": 8, "kv_len": 8, "block_size": 4}),
    *with_one(flex_mlx.FlexAttention(64, 2), {"x": np.ones((1, 8, 64), np.float32), "mask": None}),
    *with_one(flex_flash_infer.FlexFlashInfer().prepare, {"mask_fn": "causal", "num_qo_heads": 2, "seq_len_q": 8, "seq_len_kv": 8, "block_size_row": 4,
                                                          "num_kv_heads": 2, "head_dim": 8, "dtype": "float32", "score_mod": None, "sm_scale": None}),
    *with_one(prepared, {"query": Q[0], "key": Q[0], "value": Q[0]}),
    *with_one(flex_flash_infer.get_mask_fn, {"mask_type": "attamba", "window_size": 3, "chunk_size": 3}),
]


@pytest.mark.parametrize("odd", ODD)
def test_no_argument_breaks_a_call(odd):
    refused = 0
    for call in CALLS:
        try:
            call(ODD[odd])
        except (TypeError, ValueError, RuntimeError, BufferError, OverflowError, AssertionError) as error:
            refused += 1
            assert str(error)
    assert refused
