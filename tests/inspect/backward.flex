# The kernel of gradients: what the derivative adds to the program, at which loop, and how each captured buffer is added to: a table by one vector
# of neighbouring keys, a slope by sums of lanes, gathered elements one by one.
# RUN: cd %S && %inspect backward.flex --kernel=backward --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect backward.flex --kernel=backward --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect backward.flex --kernel=backward --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
# RUN: cd %S && %inspect backward.flex --kernel=backward --view=plan --target=aarch64 | %check %s --check-prefix=PLAN --match-full-lines
# RUN: cd %S && %inspect backward.flex --kernel=backward --view=nest --target=aarch64 | %check %s --check-prefix=NEST --match-full-lines
# RUN: cd %S && %inspect backward.flex --kernel=backward --view=nest --target=aarch64 --dbuffers=slope | %check %s --check-prefix=ONE --match-full-lines
# RUN: cd %S && %inspect backward.flex --kernel=backward --view=llvm --target=aarch64 --dbuffers=none | grep -oE '^define .*' | %check %s --check-prefix=LLVM --match-full-lines
buffer slope  : f32[num_heads]
buffer bias   : f32[num_heads, q_len, kv_len]
buffer shared : f32[8]
buffer group  : i32[kv_len]
score = 30.0 * tanh(score / 30.0) + slope[h] * (kv_idx - q_idx) + bias[h, q_idx, kv_idx] + shared[group[kv_idx] & 7]
mask  = q_idx >= kv_idx

# SIMPLIFIED: buffer slope : f32 rank 1
# SIMPLIFIED-NEXT: buffer bias : f32 rank 3
# SIMPLIFIED-NEXT: buffer shared : f32 rank 1
# SIMPLIFIED-NEXT: buffer group : i32 rank 1
# SIMPLIFIED-NEXT: %0 = const true : bool
# SIMPLIFIED-NEXT: %1 = kv_idx : int
# SIMPLIFIED-NEXT: %2 = read group[%1] if %0 : int
# SIMPLIFIED-NEXT: %3 = const 7 : int
# SIMPLIFIED-NEXT: %4 = and %2, %3 : int
# SIMPLIFIED-NEXT: %5 = read shared[%4] if %0 : float
# SIMPLIFIED-NEXT: %6 = h : int
# SIMPLIFIED-NEXT: %7 = q_idx : int
# SIMPLIFIED-NEXT: %8 = read bias[%6, %7, %1] if %0 : float
# SIMPLIFIED-NEXT: %9 = score : float
# SIMPLIFIED-NEXT: %10 = const 30.0 : float
# SIMPLIFIED-NEXT: %11 = div %9, %10 : float
# SIMPLIFIED-NEXT: %12 = tanh %11 : float
# SIMPLIFIED-NEXT: %13 = mul %12, %10 : float
# SIMPLIFIED-NEXT: %14 = read slope[%6] if %0 : float
# SIMPLIFIED-NEXT: %15 = sub %1, %7 : int
# SIMPLIFIED-NEXT: %16 = int_to_float %15 : float
# SIMPLIFIED-NEXT: %17 = mul %14, %16 : float
# SIMPLIFIED-NEXT: %18 = add %13, %17 : float
# SIMPLIFIED-NEXT: %19 = add %8, %18 : float
# SIMPLIFIED-NEXT: %20 = add %5, %19 : float
# SIMPLIFIED-NEXT: %21 = le %1, %7 : bool
# SIMPLIFIED-NEXT: %22 = const 1.0 : float
# SIMPLIFIED-NEXT: %23 = mul %12, %12 : float
# SIMPLIFIED-NEXT: %24 = sub %22, %23 : float
# SIMPLIFIED-NEXT: %25 = score_grad : float
# SIMPLIFIED-NEXT: %26 = mul %25, %10 : float
# SIMPLIFIED-NEXT: %27 = mul %24, %26 : float
# SIMPLIFIED-NEXT: %28 = div %27, %10 : float
# SIMPLIFIED-NEXT: %29 = accumulate shared[%4] += %25 if %0 : float
# SIMPLIFIED-NEXT: %30 = accumulate bias[%6, %7, %1] += %25 if %0 : float
# SIMPLIFIED-NEXT: %31 = mul %25, %16 : float
# SIMPLIFIED-NEXT: %32 = accumulate slope[%6] += %31 if %0 : float
# SIMPLIFIED-NEXT: score = %20
# SIMPLIFIED-NEXT: mask = %21
# SIMPLIFIED-NEXT: score_grad = %28
# SIMPLIFIED-NEXT: accumulates %29
# SIMPLIFIED-NEXT: accumulates %30
# SIMPLIFIED-NEXT: accumulates %32
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head, a tile of query rows and a tile of keys), in a register:
# HOISTING-NEXT:   %14   slope[h]
# HOISTING-NEXT:         cost 80
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %7    q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %1    kv_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-NEXT:   %4    group[kv_idx] & 7
# HOISTING-NEXT:         cost 3; slot 1
# HOISTING-NEXT:   %5    shared[group[kv_idx] & 7]
# HOISTING-NEXT:         = shared[%4]
# HOISTING-NEXT:         cost 83; slot 2
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   %16   float(kv_idx - q_idx)
# HOISTING-NEXT:         cost 2; slot 0
# HOISTING-NEXT:   %17   slope[h] * float(kv_idx - q_idx)
# HOISTING-NEXT:         = %14 * %16
# HOISTING-NEXT:         cost 3; slot 1
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %20   score = shared[group[kv_idx] & 7] + (bias[h, q_idx, kv_idx] + (tanh(score / 30.0) * 30.0 + slope[h] * float(kv_idx - q_idx)))
# HOISTING-NEXT:         = %5 + (bias[h, q_idx, kv_idx] + (tanh(score / 30.0) * 30.0 + %17))
# HOISTING-NEXT:         cost 50
# HOISTING-NEXT:   %21   mask = kv_idx <= q_idx
# HOISTING-NEXT:         cost 1
# HOISTING-NEXT:   %28   score_grad = (1.0 - tanh(score / 30.0) * tanh(score / 30.0)) * (score_grad * 30.0) / 30.0
# HOISTING-NEXT:         cost 52
# HOISTING-NEXT:   %29   grad shared[group[kv_idx] & 7] += score_grad
# HOISTING-NEXT:         = grad shared[%4] += score_grad
# HOISTING-NEXT:         cost 80
# HOISTING-NEXT:   %30   grad bias[h, q_idx, kv_idx] += score_grad
# HOISTING-NEXT:         cost 80
# HOISTING-NEXT:   %32   grad slope[h] += score_grad * float(kv_idx - q_idx)
# HOISTING-NEXT:         = grad slope[h] += score_grad * %16
# HOISTING-NEXT:         cost 81
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 50, of its derivative 249 more
# HOISTING-NOT: {{.}}

# ACCESS: %2 group[kv_idx]
# ACCESS-NEXT:   buffer   group : i32[kv_len]
# ACCESS-NEXT:   pattern  contiguous: neighbouring lanes read neighbouring elements
# ACCESS-NEXT:   load     once a key of a tile, one vector load where the buffer's innermost stride is 1, else lane by lane
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %5 shared[group[kv_idx] & 7]
# ACCESS-NEXT:   buffer   shared : f32[8]
# ACCESS-NEXT:   pattern  gather: any elements
# ACCESS-NEXT:   load     once a key of a tile, a gather instruction; kept in a table
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %8 bias[h, q_idx, kv_idx]
# ACCESS-NEXT:   buffer   bias : f32[num_heads, q_len, kv_len]
# ACCESS-NEXT:   pattern  contiguous: neighbouring lanes read neighbouring elements
# ACCESS-NEXT:   load     for each score, one vector load where the buffer's innermost stride is 1, else lane by lane
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %14 slope[h]
# ACCESS-NEXT:   buffer   slope : f32[num_heads]
# ACCESS-NEXT:   pattern  broadcast: one element for all lanes
# ACCESS-NEXT:   load     once a work item, a scalar load, broadcast where it is used
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %29 grad shared[group[kv_idx] & 7] += score_grad
# ACCESS-NEXT:   buffer   shared : f32[8]
# ACCESS-NEXT:   pattern  gather: any elements
# ACCESS-NEXT:   add      for each score, lane by lane
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %30 grad bias[h, q_idx, kv_idx] += score_grad
# ACCESS-NEXT:   buffer   bias : f32[num_heads, q_len, kv_len]
# ACCESS-NEXT:   pattern  contiguous: neighbouring lanes read neighbouring elements
# ACCESS-NEXT:   add      for each score, one vector where every lane counts and the gradient's innermost stride is 1, else lane by lane
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %32 grad slope[h] += score_grad * float(kv_idx - q_idx)
# ACCESS-NEXT:   buffer   slope : f32[num_heads]
# ACCESS-NEXT:   pattern  broadcast: one element for all lanes
# ACCESS-NEXT:   add      for each score, lanes are added up on their own, and once a row or work item to the element
# ACCESS-NEXT:   range    proved: no check
# ACCESS-NOT: {{.}}

# PLAN: kernel      backward; q f32, kv f32, out f32; head_dim 64, v_head_dim 64; softmax weights
# PLAN-NEXT: target      aarch64, scheduled for any processor
# PLAN-NEXT: arithmetic  fp32, 4 lanes of a vector
# PLAN-NEXT: caches      L1 32 KiB, L2 512 KiB a core (assumed: this machine cannot execute the target)
# PLAN-NEXT: micro-tile  4 rows x 4 vectors
# PLAN-NEXT:             registers: 16 accumulators + 4 vectors of K or V + 1 broadcast = 21 of 32
# PLAN-NEXT: query tile  48 rows: 12 groups of 4
# PLAN-NEXT: key tile    128 keys at most
# PLAN-NEXT: taken       rows of 64 and 64 reals of Q, K and dO; panels of 4 keys of K and V
# PLAN-NEXT: scratch     68352 bytes a thread, within L2
# PLAN-NEXT:   weights             27648  scores, then weights
# PLAN-NEXT:   gradients           27648  gradients of weights, then of scores
# PLAN-NEXT:   row_begin             256  the first row that visits each panel
# PLAN-NEXT:   row_end               256  behind the last row that does
# PLAN-NEXT:   sums                 8832  sums of lanes and diagonals, for gradients of captured buffers
# PLAN-NEXT:   row_values            192  table of what varies with q_idx
# PLAN-NEXT:   column_values        1536  table of what varies with kv_idx
# PLAN-NEXT:   diagonal_values      1408  table of what varies with kv_idx - q_idx
# PLAN-NEXT:   visits                576  which panels each group of rows visits
# PLAN-NOT: {{.}}

# NEST: for b, kv head, tile of 128 keys at most:                       # threads take tiles; a tile follows the one before it
# NEST-NEXT:   for h of the kv head, tile of 48 query rows:                  # a work item; only where the block mask visits
# NEST-NEXT:     %14 = slope[h]                                              # once a work item
# NEST-NEXT:     %4 = group[kv_idx] & 7                                      # once a key of the tile, in a table
# NEST-NEXT:     %5 = shared[%4]                                             # once a key of the tile, in a table
# NEST-NEXT:     %16 = float(kv_idx - q_idx)                                 # once a diagonal kv_idx - q_idx, in a table
# NEST-NEXT:     %17 = %14 * %16                                             # once a diagonal kv_idx - q_idx, in a table
# NEST-NEXT:     for strip of 16 keys, group of 4 rows:                      # 4 x 4 accumulators in registers
# NEST-NEXT:       score[row, key] = scale * Q[row, :] . K[key, :]
# NEST-NEXT:       dp[row, key] = dO[row, :] . V[key, :]
# NEST-NEXT:       score = %5 + (bias[h, q_idx, kv_idx] + (tanh(score / 30.0) * 30.0 + %17)) # score_mod, some 50 vector instructions
# NEST-NEXT:       if not (kv_idx <= q_idx): score = -inf                    # mask_mod, only where the blocks did not decide
# NEST-NEXT:       p = exp(score - lse[row]); score_grad = p * (dp - delta[row]) # delta = dO . out - dlse, once a row
# NEST-NEXT:       ds = (1.0 - tanh(score / 30.0) * tanh(score / 30.0)) * (score_grad * 30.0) / 30.0 # back through score_mod; 0, as p, where the mask forbids
# NEST-NEXT:       grad shared[%4] += score_grad                             # of pairs that are allowed
# NEST-NEXT:       grad bias[h, q_idx, kv_idx] += score_grad                 # of pairs that are allowed
# NEST-NEXT:       grad slope[h] += score_grad * %16                         # of pairs that are allowed
# NEST-NEXT:     for chunk of dims, 4 keys:                                  # over the rows that visit the keys
# NEST-NEXT:       dV[key, d] += p[row, key] * dO[row, d]
# NEST-NEXT:       dK[key, d] += ds[row, key] * scale * Q[row, d]
# NEST-NEXT:     for chunk of dims, group of 4 rows:                         # over the keys that the group visits
# NEST-NEXT:       dQ[row, d] += ds[row, key] * K[key, d]                    # times scale, in the end
# NEST-NOT: {{.}}

# ONE: for b, kv head, tile of 128 keys at most:                       # threads take tiles; a tile follows the one before it
# ONE-NEXT:   for h of the kv head, tile of 48 query rows:                  # a work item; only where the block mask visits
# ONE-NEXT:     %14 = slope[h]                                              # once a work item
# ONE-NEXT:     %5 = shared[group[kv_idx] & 7]                              # once a key of the tile, in a table
# ONE-NEXT:     %16 = float(kv_idx - q_idx)                                 # once a diagonal kv_idx - q_idx, in a table
# ONE-NEXT:     %17 = %14 * %16                                             # once a diagonal kv_idx - q_idx, in a table
# ONE-NEXT:     for strip of 16 keys, group of 4 rows:                      # 4 x 4 accumulators in registers
# ONE-NEXT:       score[row, key] = scale * Q[row, :] . K[key, :]
# ONE-NEXT:       dp[row, key] = dO[row, :] . V[key, :]
# ONE-NEXT:       score = %5 + (bias[h, q_idx, kv_idx] + (tanh(score / 30.0) * 30.0 + %17)) # score_mod, some 50 vector instructions
# ONE-NEXT:       if not (kv_idx <= q_idx): score = -inf                    # mask_mod, only where the blocks did not decide
# ONE-NEXT:       p = exp(score - lse[row]); score_grad = p * (dp - delta[row]) # delta = dO . out - dlse, once a row
# ONE-NEXT:       ds = (1.0 - tanh(score / 30.0) * tanh(score / 30.0)) * (score_grad * 30.0) / 30.0 # back through score_mod; 0, as p, where the mask forbids
# ONE-NEXT:       grad slope[h] += score_grad * %16                         # of pairs that are allowed
# ONE-NEXT:     for chunk of dims, 4 keys:                                  # over the rows that visit the keys
# ONE-NEXT:       dV[key, d] += p[row, key] * dO[row, d]
# ONE-NEXT:       dK[key, d] += ds[row, key] * scale * Q[row, d]
# ONE-NEXT:     for chunk of dims, group of 4 rows:                         # over the keys that the group visits
# ONE-NEXT:       dQ[row, d] += ds[row, key] * K[key, d]                    # times scale, in the end
# ONE-NOT: {{.}}

# LLVM: define void @gradients(ptr %tile) #0 {
# LLVM-NEXT: define void @take_rows(ptr %arg) #0 {
# LLVM-NEXT: define void @take_keys(ptr %arg) #0 {
# LLVM-NEXT: define void @give_q(ptr %arg) #0 {
# LLVM-NEXT: define void @give_k(ptr %arg) #0 {
# LLVM-NEXT: define void @give_v(ptr %arg) #0 {
# LLVM-NOT: {{.}}
