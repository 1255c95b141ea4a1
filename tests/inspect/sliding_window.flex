# A runtime parameter.
# RUN: cd %S && %inspect sliding_window.flex --view=ir | %check %s --check-prefix=IR --match-full-lines
# RUN: cd %S && %inspect sliding_window.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect sliding_window.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect sliding_window.flex --view=plan --target=aarch64 --dtype=f64 --head-dim=256 | %check %s --check-prefix=PLAN --match-full-lines
param window : int = 256
mask = q_idx >= kv_idx && q_idx - kv_idx <= window

# IR: param window : int
# IR-NEXT: %0 = q_idx : int
# IR-NEXT: %1 = kv_idx : int
# IR-NEXT: %2 = ge %0, %1 : bool
# IR-NEXT: %3 = sub %0, %1 : int
# IR-NEXT: %4 = param window : int
# IR-NEXT: %5 = le %3, %4 : bool
# IR-NEXT: %6 = and %2, %5 : bool
# IR-NEXT: mask = %6
# IR-NOT: {{.}}

# SIMPLIFIED: param window : int
# SIMPLIFIED-NEXT: %0 = kv_idx : int
# SIMPLIFIED-NEXT: %1 = q_idx : int
# SIMPLIFIED-NEXT: %2 = le %0, %1 : bool
# SIMPLIFIED-NEXT: %3 = sub %1, %0 : int
# SIMPLIFIED-NEXT: %4 = param window : int
# SIMPLIFIED-NEXT: %5 = le %3, %4 : bool
# SIMPLIFIED-NEXT: %6 = and %2, %5 : bool
# SIMPLIFIED-NEXT: mask = %6
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %1    q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %0    kv_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %6    mask = kv_idx <= q_idx && q_idx - kv_idx <= window
# HOISTING-NEXT:         cost 4
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 0
# HOISTING-NOT: {{.}}

# PLAN: kernel      prefill; q f64, kv f64, out f64; head_dim 256, v_head_dim 256; softmax weights
# PLAN-NEXT: target      aarch64, scheduled for any processor
# PLAN-NEXT: arithmetic  fp64, 2 lanes of a vector
# PLAN-NEXT: caches      L1 32 KiB, L2 512 KiB a core (assumed: this machine cannot execute the target)
# PLAN-NEXT: micro-tile  4 rows x 4 vectors
# PLAN-NEXT:             registers: 16 accumulators + 4 vectors of K or V + 1 broadcast = 21 of 32
# PLAN-NEXT: strip       8 keys: 4 panels of 2
# PLAN-NEXT: query tile  48 rows: 12 groups of 4
# PLAN-NEXT: key tile    64 keys: 8 strips
# PLAN-NEXT:             a key takes 4480 bytes (K, V and its scores); 256 KiB, half of L2, hold 58 keys
# PLAN-NEXT:             bound by: the shortest tile, though it does not fit into that share
# PLAN-NEXT: packed K    2048 bytes a key, in panels of 2 keys
# PLAN-NEXT: packed V    read in place: its rows are whole vectors of the type that is summed
# PLAN-NEXT: epilogue    vector instructions of score_mod: 0, on the accumulators (8 at most stay in registers)
# PLAN-NEXT: scratch     228544 bytes a thread, within L2
# PLAN-NEXT:   q                   98304  queries, as the products read them
# PLAN-NEXT:   s                   27648  scores, then weights
# PLAN-NEXT:   o                   98304  unnormalised output
# PLAN-NEXT:   max_lanes             768  running maximum of each lane
# PLAN-NEXT:   sum_lanes             768  running sum of each lane
# PLAN-NEXT:   row_max               384  what output and sums are relative to
# PLAN-NEXT:   base                  384  what exponents are relative to
# PLAN-NEXT:   rescale               384  factors of older output
# PLAN-NEXT:   least                 384  weights too small to take part, where the output is not finite
# PLAN-NEXT:   unsettled             192  rows whose output is not finite
# PLAN-NEXT:   row_values            192  table of what varies with q_idx
# PLAN-NEXT:   column_values         256  table of what varies with kv_idx
# PLAN-NEXT:   visits                576  which panels each group of rows visits
# PLAN-NEXT: decode      by the same kernel: the decode nest has no fp64
# PLAN-NOT: {{.}}
