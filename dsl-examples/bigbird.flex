# BigBird: neighbouring blocks, global tokens, and random pairs of blocks from a table with a row for each query block.
const  block     : int = 64
param  reach     : int = 1
buffer q_global  : bool[q_len]
buffer kv_global : bool[kv_len]
buffer linked    : bool[?, ?]
let i = q_idx // block
let j = kv_idx // block
mask = q_global[q_idx] || kv_global[kv_idx] || abs(i - j) <= reach || linked[i, j]
