# A guarded read whose index comes from a read.
# RUN: cd %S && %inspect paged.flex --view=ir | %check %s --check-prefix=IR --match-full-lines
# RUN: cd %S && %inspect paged.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect paged.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect paged.flex --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
const  page    : int = 16
buffer logical : i32[batch_size, ?]
buffer length  : i32[batch_size]
let l  = logical[b, kv_idx // page]
let at = l * page + kv_idx % page
mask = l >= 0 && at < length[b] && q_idx >= at

# IR: buffer logical : i32 rank 2
# IR-NEXT: buffer length : i32 rank 1
# IR-NEXT: %0 = const true : bool
# IR-NEXT: %1 = b : int
# IR-NEXT: %2 = kv_idx : int
# IR-NEXT: %3 = const 16 : int
# IR-NEXT: %4 = floordiv %2, %3 : int
# IR-NEXT: %5 = read logical[%1, %4] if %0 checked at 0 : int
# IR-NEXT: %6 = const 0 : int
# IR-NEXT: %7 = ge %5, %6 : bool
# IR-NEXT: %8 = mul %5, %3 : int
# IR-NEXT: %9 = mod %2, %3 : int
# IR-NEXT: %10 = add %8, %9 : int
# IR-NEXT: %11 = read length[%1] if %7 checked at 1 : int
# IR-NEXT: %12 = lt %10, %11 : bool
# IR-NEXT: %13 = and %7, %12 : bool
# IR-NEXT: %14 = q_idx : int
# IR-NEXT: %15 = ge %14, %10 : bool
# IR-NEXT: %16 = and %13, %15 : bool
# IR-NEXT: mask = %16
# IR-NOT: {{.}}

# SIMPLIFIED: buffer logical : i32 rank 2
# SIMPLIFIED-NEXT: buffer length : i32 rank 1
# SIMPLIFIED-NEXT: %0 = const true : bool
# SIMPLIFIED-NEXT: %1 = b : int
# SIMPLIFIED-NEXT: %2 = kv_idx : int
# SIMPLIFIED-NEXT: %3 = const 16 : int
# SIMPLIFIED-NEXT: %4 = floordiv %2, %3 : int
# SIMPLIFIED-NEXT: %5 = read logical[%1, %4] if %0 checked at 0 : int
# SIMPLIFIED-NEXT: %6 = mul %5, %3 : int
# SIMPLIFIED-NEXT: %7 = mod %2, %3 : int
# SIMPLIFIED-NEXT: %8 = add %6, %7 : int
# SIMPLIFIED-NEXT: %9 = read length[%1] if %0 : int
# SIMPLIFIED-NEXT: %10 = lt %8, %9 : bool
# SIMPLIFIED-NEXT: %11 = const 0 : int
# SIMPLIFIED-NEXT: %12 = le %11, %5 : bool
# SIMPLIFIED-NEXT: %13 = and %10, %12 : bool
# SIMPLIFIED-NEXT: %14 = q_idx : int
# SIMPLIFIED-NEXT: %15 = le %8, %14 : bool
# SIMPLIFIED-NEXT: %16 = and %13, %15 : bool
# SIMPLIFIED-NEXT: mask = %16
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   %9    length[b]
# HOISTING-NEXT:         cost 80
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %14   q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %8    logical[b, kv_idx // 16] * 16 + kv_idx % 16
# HOISTING-NEXT:         cost 122; slot 2; its range in slot 1
# HOISTING-NEXT:   %13   logical[b, kv_idx // 16] * 16 + kv_idx % 16 < length[b] && 0 <= logical[b, kv_idx // 16]
# HOISTING-NEXT:         = %8 < %9 && 0 <= logical[b, kv_idx // 16]
# HOISTING-NEXT:         cost 125; slot 3; its range in slot 2
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %16   mask = logical[b, kv_idx // 16] * 16 + kv_idx % 16 < length[b] && 0 <= logical[b, kv_idx // 16] && logical[b, kv_idx // 16] * 16 + kv_idx % 16 <= q_idx
# HOISTING-NEXT:         = %13 && %8 <= q_idx
# HOISTING-NEXT:         cost 2
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 0
# HOISTING-NOT: {{.}}

# ACCESS: %5 logical[b, kv_idx // 16]
# ACCESS-NEXT:   buffer   logical : i32[batch_size, ?]
# ACCESS-NEXT:   pattern  gather: any elements
# ACCESS-NEXT:   load     once a key of a tile, a gather instruction
# ACCESS-NEXT:   range    checked, for paged.flex:9:10: the declared extents do not prove the index in range
# ACCESS-EMPTY:
# ACCESS-NEXT: %9 length[b]
# ACCESS-NEXT:   buffer   length : i32[batch_size]
# ACCESS-NEXT:   pattern  broadcast: one element for all lanes
# ACCESS-NEXT:   load     once a work item, a scalar load, broadcast where it is used
# ACCESS-NEXT:   range    proved: no check
# ACCESS-NOT: {{.}}
