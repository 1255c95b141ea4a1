# A read by head is hoisted to the work item; its product with the distance is a table of diagonals.
# RUN: cd %S && %inspect alibi.flex --view=ir | %check %s --check-prefix=IR --match-full-lines
# RUN: cd %S && %inspect alibi.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect alibi.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect alibi.flex --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
# RUN: cd %S && %inspect alibi.flex --view=plan --q-len=1 --target=aarch64 | %check %s --check-prefix=DECODE --match-full-lines
buffer slope : f32[num_heads]
score = score + slope[h] * (kv_idx - q_idx)
mask  = q_idx >= kv_idx

# IR: buffer slope : f32 rank 1
# IR-NEXT: %0 = score : float
# IR-NEXT: %1 = const true : bool
# IR-NEXT: %2 = h : int
# IR-NEXT: %3 = read slope[%2] if %1 checked at 0 : float
# IR-NEXT: %4 = kv_idx : int
# IR-NEXT: %5 = q_idx : int
# IR-NEXT: %6 = sub %4, %5 : int
# IR-NEXT: %7 = int_to_float %6 : float
# IR-NEXT: %8 = mul %3, %7 : float
# IR-NEXT: %9 = add %0, %8 : float
# IR-NEXT: %10 = ge %5, %4 : bool
# IR-NEXT: score = %9
# IR-NEXT: mask = %10
# IR-NOT: {{.}}

# SIMPLIFIED: buffer slope : f32 rank 1
# SIMPLIFIED-NEXT: %0 = score : float
# SIMPLIFIED-NEXT: %1 = const true : bool
# SIMPLIFIED-NEXT: %2 = h : int
# SIMPLIFIED-NEXT: %3 = read slope[%2] if %1 : float
# SIMPLIFIED-NEXT: %4 = kv_idx : int
# SIMPLIFIED-NEXT: %5 = q_idx : int
# SIMPLIFIED-NEXT: %6 = sub %4, %5 : int
# SIMPLIFIED-NEXT: %7 = int_to_float %6 : float
# SIMPLIFIED-NEXT: %8 = mul %3, %7 : float
# SIMPLIFIED-NEXT: %9 = add %0, %8 : float
# SIMPLIFIED-NEXT: %10 = le %4, %5 : bool
# SIMPLIFIED-NEXT: score = %9
# SIMPLIFIED-NEXT: mask = %10
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   %3    slope[h]
# HOISTING-NEXT:         cost 80
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %5    q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %4    kv_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   %8    slope[h] * float(kv_idx - q_idx)
# HOISTING-NEXT:         = %3 * float(kv_idx - q_idx)
# HOISTING-NEXT:         cost 3; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %9    score = score + slope[h] * float(kv_idx - q_idx)
# HOISTING-NEXT:         = score + %8
# HOISTING-NEXT:         cost 1
# HOISTING-NEXT:   %10   mask = kv_idx <= q_idx
# HOISTING-NEXT:         cost 1
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 1
# HOISTING-NOT: {{.}}

# ACCESS: %3 slope[h]
# ACCESS-NEXT:   buffer   slope : f32[num_heads]
# ACCESS-NEXT:   pattern  broadcast: one element for all lanes
# ACCESS-NEXT:   load     once a work item, a scalar load, broadcast where it is used
# ACCESS-NEXT:   range    proved: no check
# ACCESS-NOT: {{.}}

# DECODE: kernel      decode; q f32, kv f32, out f32; head_dim 64, v_head_dim 64; softmax weights
# DECODE-NEXT: target      aarch64, scheduled for any processor
# DECODE-NEXT: arithmetic  fp32, 4 lanes of a vector
# DECODE-NEXT: caches      L1 32 KiB, L2 512 KiB a core (assumed: this machine cannot execute the target)
# DECODE-NEXT: rows        up to 32 a work item: the query rows of all heads that share a kv head
# DECODE-NEXT: key step    16 keys between K and V, so that both streams advance together
# DECODE-NEXT: products    4 rows x 4 keys of K, 4 rows x 4 vectors of V: 16 accumulators of 32 registers
# DECODE-NEXT: K and V     read once, as they lie, for all rows; nothing is packed
# DECODE-NEXT: scratch     11520 bytes a thread, within L1
# DECODE-NEXT:   q                    8192  queries, as the products read them
# DECODE-NEXT:   s                    2048  scores, then weights
# DECODE-NEXT:   k_rows                 64  which row of K each column is computed from
# DECODE-NEXT:   k_to_come              64  which row of K is prefetched meanwhile
# DECODE-NEXT:   v_to_come              64  which row of V
# DECODE-NEXT:   v_rows                128  where the row of V of each column lies
# DECODE-NEXT:   sum_lanes             512  running sum of each lane
# DECODE-NEXT:   unsettled             128  rows whose output is not finite
# DECODE-NEXT:   row_values            256  table of what varies with h and q_idx
# DECODE-NEXT:   column_values          64  table of what varies with kv_idx
# DECODE-NOT: {{.}}
