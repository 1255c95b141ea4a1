# A mod that is too long for the registers of the epilogue.
# RUN: cd %S && %inspect softcap.flex --view=ir | %check %s --check-prefix=IR --match-full-lines
# RUN: cd %S && %inspect softcap.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect softcap.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect softcap.flex --view=plan --target=aarch64 --dtype=bf16 --head-dim=128 --v-head-dim=40 | %check %s --check-prefix=PLAN --match-full-lines
const cap : float = 30.0
score = cap * tanh(score / cap)
mask  = q_idx >= kv_idx

# IR: %0 = const 30.0 : float
# IR-NEXT: %1 = score : float
# IR-NEXT: %2 = div %1, %0 : float
# IR-NEXT: %3 = tanh %2 : float
# IR-NEXT: %4 = mul %0, %3 : float
# IR-NEXT: %5 = q_idx : int
# IR-NEXT: %6 = kv_idx : int
# IR-NEXT: %7 = ge %5, %6 : bool
# IR-NEXT: score = %4
# IR-NEXT: mask = %7
# IR-NOT: {{.}}

# SIMPLIFIED: %0 = score : float
# SIMPLIFIED-NEXT: %1 = const 30.0 : float
# SIMPLIFIED-NEXT: %2 = div %0, %1 : float
# SIMPLIFIED-NEXT: %3 = tanh %2 : float
# SIMPLIFIED-NEXT: %4 = mul %3, %1 : float
# SIMPLIFIED-NEXT: %5 = kv_idx : int
# SIMPLIFIED-NEXT: %6 = q_idx : int
# SIMPLIFIED-NEXT: %7 = le %5, %6 : bool
# SIMPLIFIED-NEXT: score = %4
# SIMPLIFIED-NEXT: mask = %7
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %6    q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %5    kv_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %4    score = tanh(score / 30.0) * 30.0
# HOISTING-NEXT:         cost 45
# HOISTING-NEXT:   %7    mask = kv_idx <= q_idx
# HOISTING-NEXT:         cost 1
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 45
# HOISTING-NOT: {{.}}

# PLAN: kernel      prefill; q bf16, kv bf16, out bf16; head_dim 128, v_head_dim 40; softmax weights
# PLAN-NEXT: target      aarch64, scheduled for any processor
# PLAN-NEXT: arithmetic  fp32, 4 lanes of a vector
# PLAN-NEXT: caches      L1 32 KiB, L2 512 KiB a core (assumed: this machine cannot execute the target)
# PLAN-NEXT: micro-tile  4 rows x 4 vectors
# PLAN-NEXT:             registers: 16 accumulators + 4 vectors of K or V + 1 broadcast = 21 of 32
# PLAN-NEXT: strip       16 keys: 4 panels of 4
# PLAN-NEXT: query tile  48 rows: 12 groups of 4
# PLAN-NEXT: key tile    256 keys: 16 strips
# PLAN-NEXT:             a key takes 864 bytes (K, V and its scores); 256 KiB, half of L2, hold 303 keys
# PLAN-NEXT:             bound by: a tile's panels are bits of one 64-bit integer
# PLAN-NEXT: packed K    512 bytes a key, in panels of 4 keys
# PLAN-NEXT: packed V    160 bytes for 1 key: rows are padded to whole vectors or converted
# PLAN-NEXT: epilogue    vector instructions of score_mod: 45, over stored scores (8 at most stay in registers)
# PLAN-NEXT: scratch     88768 bytes a thread, within L2
# PLAN-NEXT:   q                   24576  queries, as the products read them
# PLAN-NEXT:   s                   52224  scores, then weights
# PLAN-NEXT:   o                    7680  unnormalised output
# PLAN-NEXT:   max_lanes             768  running maximum of each lane
# PLAN-NEXT:   sum_lanes             768  running sum of each lane
# PLAN-NEXT:   row_max               192  what output and sums are relative to
# PLAN-NEXT:   base                  192  what exponents are relative to
# PLAN-NEXT:   rescale               192  factors of older output
# PLAN-NEXT:   least                 192  weights too small to take part, where the output is not finite
# PLAN-NEXT:   unsettled             192  rows whose output is not finite
# PLAN-NEXT:   row_values            192  table of what varies with q_idx
# PLAN-NEXT:   column_values        1024  table of what varies with kv_idx
# PLAN-NEXT:   visits                576  which panels each group of rows visits
# PLAN-NEXT: decode      up to 32 rows x 16 keys a step, 4 x 4 accumulators, 19584 bytes of scratch
# PLAN-NOT: {{.}}
