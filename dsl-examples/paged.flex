# Keys in pages: page i of sequence b holds the logical page `logical[b, i]`, or none where it is negative. Causal by logical
# position; length[b] keys exist.
const  page    : int = 16
buffer logical : i32[batch_size, ?]
buffer length  : i32[batch_size]
let l  = logical[b, kv_idx // page]
let at = l * page + kv_idx % page
mask = l >= 0 && at < length[b] && q_idx >= at
