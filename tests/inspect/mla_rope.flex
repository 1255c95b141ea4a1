# A product of two captured rows.
# RUN: cd %S && %inspect mla_rope.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect mla_rope.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect mla_rope.flex --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
param  weight : float = 0.125
buffer q_rope  : f32[batch_size, num_heads, q_len, 16]
buffer kv_rope : f32[batch_size, num_kv_heads, kv_len, 16]
score = score + weight * dot(q_rope[b, h, q_idx, :], kv_rope[b, kv_head, kv_idx, :])
mask  = q_idx >= kv_idx

# SIMPLIFIED: buffer q_rope : f32 rank 4
# SIMPLIFIED-NEXT: buffer kv_rope : f32 rank 4
# SIMPLIFIED-NEXT: param weight : float
# SIMPLIFIED-NEXT: %0 = score : float
# SIMPLIFIED-NEXT: %1 = param weight : float
# SIMPLIFIED-NEXT: %2 = const true : bool
# SIMPLIFIED-NEXT: %3 = b : int
# SIMPLIFIED-NEXT: %4 = h : int
# SIMPLIFIED-NEXT: %5 = q_idx : int
# SIMPLIFIED-NEXT: %6 = kv_head : int
# SIMPLIFIED-NEXT: %7 = kv_idx : int
# SIMPLIFIED-NEXT: %8 = dot q_rope[%3, %4, %5, :] kv_rope[%3, %6, %7, :] extent 16 if %2 : float
# SIMPLIFIED-NEXT: %9 = mul %1, %8 : float
# SIMPLIFIED-NEXT: %10 = add %0, %9 : float
# SIMPLIFIED-NEXT: %11 = le %7, %5 : bool
# SIMPLIFIED-NEXT: score = %10
# SIMPLIFIED-NEXT: mask = %11
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %5    q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %7    kv_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %10   score = score + weight * dot(q_rope[b, h, q_idx, :], kv_rope[b, kv_head, kv_idx, :])
# HOISTING-NEXT:         cost 82
# HOISTING-NEXT:   %11   mask = kv_idx <= q_idx
# HOISTING-NEXT:         cost 1
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 82
# HOISTING-NOT: {{.}}

# ACCESS: %8 dot(q_rope[b, h, q_idx, :], kv_rope[b, kv_head, kv_idx, :])
# ACCESS-NEXT:   buffer   q_rope : f32[batch_size, num_heads, q_len, 16]
# ACCESS-NEXT:   pattern  broadcast: one element for all lanes
# ACCESS-NEXT:   load     for each score, a scalar load, broadcast where it is used
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %8 dot(q_rope[b, h, q_idx, :], kv_rope[b, kv_head, kv_idx, :])
# ACCESS-NEXT:   buffer   kv_rope : f32[batch_size, num_kv_heads, kv_len, 16]
# ACCESS-NEXT:   pattern  strided: elements at a fixed distance from lane to lane
# ACCESS-NEXT:   load     for each score, a gather instruction
# ACCESS-NEXT:   range    proved: no check
# ACCESS-NOT: {{.}}
