"""Calls by other packages' names, with their arguments and meanings, on flexjit: a program that uses one of them changes its import.

    flash_attn         FlashAttention: flash_attn_func, its packed and varlen forms, flash_attn_with_kvcache
    flash_attn_mlx     the same as Flash Attention for MLX has it, with pages and a switch to the fp64 reference
    flex_mlx           FlexAttention for MLX: a module, create_block_mask, flex_attention
    flex_flash_infer   FlexFlashInfer: a mask that is prepared once; `python -m flexjit.compat.flex_flash_infer` tests it

Arrays are numpy's or torch's, in the processor's memory; results are of the kind of the queries.
"""
