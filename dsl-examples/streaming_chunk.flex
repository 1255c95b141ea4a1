# Streaming speech recognition: a query sees its own chunk whole, and `left` chunks before it.
param chunk : int = 64
param left  : int = 2
let i = q_idx // chunk
let j = kv_idx // chunk
mask = j <= i && j >= i - left
