# Each of these says something that no result hears; what only they read goes with them.
param  window : int = 256
param  used   : int = 8
const  half   : int = 2
buffer slope  : f32[num_heads]
buffer table  : i32[used]
let mask_mod = q_idx >= kv_idx
let first = kv_idx // half
let second = first + window
def bias(x) = x * slope[h]
let seen = table[min(kv_idx, used - 1)]
score = score + (let near = 3; let far = 4; far * seen)
