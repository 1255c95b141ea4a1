# Causal over a key cache: query 0 stands at position `offset`. The offset changes with every decoded token and recompiles
# nothing, because it is a param.
param offset : int = 0
mask = q_idx + offset >= kv_idx
