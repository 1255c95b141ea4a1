"""torch.nn.attention.flex_attention's and torch.nn.attention.varlen's names and meanings on flexjit, for tensors in the
processor's memory, with gradients:

    from flexjit.torch import flex_attention, create_block_mask
"""
from .attention import AuxOutput, AuxRequest, FlexKernelOptions, flex_attention
from .block_mask import BlockMask, and_masks, create_block_mask, create_mask, noop_mask, or_masks
from .parallel import ContextParallel, context_parallel
from .varlen import varlen_attn, varlen_attn_out

__all__ = ["AuxOutput", "AuxRequest", "BlockMask", "ContextParallel", "FlexKernelOptions", "and_masks", "context_parallel",
           "create_block_mask", "create_mask", "flex_attention", "noop_mask", "or_masks", "varlen_attn", "varlen_attn_out"]
