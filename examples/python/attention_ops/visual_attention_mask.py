"""Masks as matrices of 0 and 1: causal, a sliding window and the neighbourhood of a grid, as FlexAttention-Examples prints them."""
import numpy

import flexjit

MASKS = {"Vanilla Attention (Causal Mask)": (12, lambda b, h, q, k: q >= k),
         "Sliding Window Attention (Window Size = 3)": (12, lambda b, h, q, k: (q >= k) & (q - k < 3)),
         "Neighborhood Attention (H=8, W=8, Radius=3)": (64, lambda b, h, q, k: (abs(q // 8 - k // 8) <= 3) & (abs(q % 8 - k % 8) <= 3))}

numpy.set_printoptions(threshold=64 * 64, linewidth=200)
for name, (length, mask) in MASKS.items():
    # Blocks of one pair: what the engine found out of the mask, not the function itself.
    blocks = flexjit.create_block_mask(mask, length, length, block_size=1)
    matrix = (numpy.frombuffer(blocks.kinds(), numpy.uint8) != 0).reshape(length, length).astype(int)
    print(f"--- {name} (size: {list((1, 1, *matrix.shape))}) ---")
    print(matrix)
    print(f"{matrix.sum()} pairs\n")
