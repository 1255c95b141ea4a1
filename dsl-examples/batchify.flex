# Many short sequences of `size` positions in one long one, each causal: the pattern that a batch dimension would be.
const size : int = 64
mask = q_idx // size == kv_idx // size && q_idx % size >= kv_idx % size
