# Much arithmetic on the distance alone: a table of diagonals.
# RUN: cd %S && %inspect t5_buckets.flex --view=ir | %check %s --check-prefix=IR --match-full-lines
# RUN: cd %S && %inspect t5_buckets.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect t5_buckets.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect t5_buckets.flex --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
# RUN: cd %S && %inspect t5_buckets.flex --view=plan --target=aarch64 | %check %s --check-prefix=PLAN --match-full-lines
const  buckets      : int = 32
const  max_distance : int = 128
buffer bias         : f32[32, num_heads]
const  half         : int = buckets // 2
const  exact        : int = half // 2
let d    = kv_idx - q_idx
let n    = abs(d)
let far  = exact + int(log(float(max(n, 1)) / exact) / log(float(max_distance) / exact) * (half - exact))
let base = d > 0 ? half : 0
score = score + bias[base + (n < exact ? n : min(far, half - 1)), h]

# IR: buffer bias : f32 rank 2
# IR-NEXT: %0 = score : float
# IR-NEXT: %1 = const true : bool
# IR-NEXT: %2 = kv_idx : int
# IR-NEXT: %3 = q_idx : int
# IR-NEXT: %4 = sub %2, %3 : int
# IR-NEXT: %5 = const 0 : int
# IR-NEXT: %6 = gt %4, %5 : bool
# IR-NEXT: %7 = const 16 : int
# IR-NEXT: %8 = select %6, %7, %5 : int
# IR-NEXT: %9 = abs %4 : int
# IR-NEXT: %10 = const 8 : int
# IR-NEXT: %11 = lt %9, %10 : bool
# IR-NEXT: %12 = const 1 : int
# IR-NEXT: %13 = max %9, %12 : int
# IR-NEXT: %14 = int_to_float %13 : float
# IR-NEXT: %15 = int_to_float %10 : float
# IR-NEXT: %16 = div %14, %15 : float
# IR-NEXT: %17 = log %16 : float
# IR-NEXT: %18 = const 128 : int
# IR-NEXT: %19 = int_to_float %18 : float
# IR-NEXT: %20 = div %19, %15 : float
# IR-NEXT: %21 = log %20 : float
# IR-NEXT: %22 = div %17, %21 : float
# IR-NEXT: %23 = sub %7, %10 : int
# IR-NEXT: %24 = int_to_float %23 : float
# IR-NEXT: %25 = mul %22, %24 : float
# IR-NEXT: %26 = float_to_int %25 : int
# IR-NEXT: %27 = add %10, %26 : int
# IR-NEXT: %28 = sub %7, %12 : int
# IR-NEXT: %29 = min %27, %28 : int
# IR-NEXT: %30 = select %11, %9, %29 : int
# IR-NEXT: %31 = add %8, %30 : int
# IR-NEXT: %32 = h : int
# IR-NEXT: %33 = read bias[%31, %32] if %1 checked at 0 : float
# IR-NEXT: %34 = add %0, %33 : float
# IR-NEXT: score = %34
# IR-NOT: {{.}}

# SIMPLIFIED: buffer bias : f32 rank 2
# SIMPLIFIED-NEXT: %0 = score : float
# SIMPLIFIED-NEXT: %1 = const true : bool
# SIMPLIFIED-NEXT: %2 = q_idx : int
# SIMPLIFIED-NEXT: %3 = kv_idx : int
# SIMPLIFIED-NEXT: %4 = sub %2, %3 : int
# SIMPLIFIED-NEXT: %5 = abs %4 : int
# SIMPLIFIED-NEXT: %6 = const 7 : int
# SIMPLIFIED-NEXT: %7 = le %5, %6 : bool
# SIMPLIFIED-NEXT: %8 = const 1 : int
# SIMPLIFIED-NEXT: %9 = max %5, %8 : int
# SIMPLIFIED-NEXT: %10 = int_to_float %9 : float
# SIMPLIFIED-NEXT: %11 = const 0.125 : float
# SIMPLIFIED-NEXT: %12 = mul %10, %11 : float
# SIMPLIFIED-NEXT: %13 = log %12 : float
# SIMPLIFIED-NEXT: %14 = const 2.7725887 : float
# SIMPLIFIED-NEXT: %15 = div %13, %14 : float
# SIMPLIFIED-NEXT: %16 = const 8.0 : float
# SIMPLIFIED-NEXT: %17 = mul %15, %16 : float
# SIMPLIFIED-NEXT: %18 = float_to_int %17 : int
# SIMPLIFIED-NEXT: %19 = const 8 : int
# SIMPLIFIED-NEXT: %20 = add %18, %19 : int
# SIMPLIFIED-NEXT: %21 = const 15 : int
# SIMPLIFIED-NEXT: %22 = min %20, %21 : int
# SIMPLIFIED-NEXT: %23 = select %7, %5, %22 : int
# SIMPLIFIED-NEXT: %24 = sub %3, %2 : int
# SIMPLIFIED-NEXT: %25 = le %8, %24 : bool
# SIMPLIFIED-NEXT: %26 = const 16 : int
# SIMPLIFIED-NEXT: %27 = const 0 : int
# SIMPLIFIED-NEXT: %28 = select %25, %26, %27 : int
# SIMPLIFIED-NEXT: %29 = add %23, %28 : int
# SIMPLIFIED-NEXT: %30 = h : int
# SIMPLIFIED-NEXT: %31 = read bias[%29, %30] if %1 checked at 0 : float
# SIMPLIFIED-NEXT: %32 = add %0, %31 : float
# SIMPLIFIED-NEXT: score = %32
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   %29   (abs(q_idx - kv_idx) <= 7 ? abs(q_idx - kv_idx) : min(int(log(float(max(abs(q_idx - kv_idx), 1)) * 0.125) / 2.7725887 * 8.0) + 8, 15)) + (1 <= kv_idx - q_idx ? 16 : 0)
# HOISTING-NEXT:         cost 42; slot 0
# HOISTING-NEXT:   %31   bias[%29, h]
# HOISTING-NEXT:         cost 122; slot 1
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %32   score = score + bias[%29, h]
# HOISTING-NEXT:         = score + %31
# HOISTING-NEXT:         cost 1
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 1
# HOISTING-NOT: {{.}}

# ACCESS: %31 bias[%29, h]
# ACCESS-NEXT:   buffer   bias : f32[32, num_heads]
# ACCESS-NEXT:   pattern  gather: any elements
# ACCESS-NEXT:   load     once a diagonal of a tile, a gather instruction; kept in a table
# ACCESS-NEXT:   range    checked, for t5_buckets.flex:16:17: the declared extents do not prove the index in range
# ACCESS-NOT: {{.}}

# PLAN: kernel      prefill; q f32, kv f32, out f32; head_dim 64, v_head_dim 64; softmax weights
# PLAN-NEXT: target      aarch64, scheduled for any processor
# PLAN-NEXT: arithmetic  fp32, 4 lanes of a vector
# PLAN-NEXT: caches      L1 32 KiB, L2 512 KiB a core (assumed: this machine cannot execute the target)
# PLAN-NEXT: micro-tile  4 rows x 4 vectors
# PLAN-NEXT:             registers: 16 accumulators + 4 vectors of K or V + 1 broadcast = 21 of 32
# PLAN-NEXT: strip       16 keys: 4 panels of 4
# PLAN-NEXT: query tile  48 rows: 12 groups of 4
# PLAN-NEXT: key tile    256 keys: 16 strips
# PLAN-NEXT:             a key takes 704 bytes (K, V and its scores); 256 KiB, half of L2, hold 372 keys
# PLAN-NEXT:             bound by: a tile's panels are bits of one 64-bit integer
# PLAN-NEXT: packed K    256 bytes a key, in panels of 4 keys
# PLAN-NEXT: packed V    read in place: its rows are whole vectors of the type that is summed
# PLAN-NEXT: epilogue    vector instructions of score_mod: 1, on the accumulators (8 at most stay in registers)
# PLAN-NEXT: scratch     83520 bytes a thread, within L2
# PLAN-NEXT:   q                   12288  queries, as the products read them
# PLAN-NEXT:   s                   52224  scores, then weights
# PLAN-NEXT:   o                   12288  unnormalised output
# PLAN-NEXT:   max_lanes             768  running maximum of each lane
# PLAN-NEXT:   sum_lanes             768  running sum of each lane
# PLAN-NEXT:   row_max               192  what output and sums are relative to
# PLAN-NEXT:   base                  192  what exponents are relative to
# PLAN-NEXT:   rescale               192  factors of older output
# PLAN-NEXT:   least                 192  weights too small to take part, where the output is not finite
# PLAN-NEXT:   unsettled             192  rows whose output is not finite
# PLAN-NEXT:   diagonal_values      3648  table of what varies with kv_idx - q_idx
# PLAN-NEXT:   visits                576  which panels each group of rows visits
# PLAN-NEXT: decode      up to 32 rows x 16 keys a step, 4 x 4 accumulators, 11520 bytes of scratch
# PLAN-NOT: {{.}}
