# Bits of integers.
# RUN: cd %S && %inspect bits.flex --view=ir | %check %s --check-prefix=IR --match-full-lines
# RUN: cd %S && %inspect bits.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect bits.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
score = score + ((q_idx ^ kv_idx) & 255) * 0.001

# IR: %0 = score : float
# IR-NEXT: %1 = q_idx : int
# IR-NEXT: %2 = kv_idx : int
# IR-NEXT: %3 = xor %1, %2 : int
# IR-NEXT: %4 = const 255 : int
# IR-NEXT: %5 = and %3, %4 : int
# IR-NEXT: %6 = int_to_float %5 : float
# IR-NEXT: %7 = const 0.001 : float
# IR-NEXT: %8 = mul %6, %7 : float
# IR-NEXT: %9 = add %0, %8 : float
# IR-NEXT: score = %9
# IR-NOT: {{.}}

# SIMPLIFIED: %0 = score : float
# SIMPLIFIED-NEXT: %1 = q_idx : int
# SIMPLIFIED-NEXT: %2 = kv_idx : int
# SIMPLIFIED-NEXT: %3 = xor %1, %2 : int
# SIMPLIFIED-NEXT: %4 = const 255 : int
# SIMPLIFIED-NEXT: %5 = and %3, %4 : int
# SIMPLIFIED-NEXT: %6 = int_to_float %5 : float
# SIMPLIFIED-NEXT: %7 = const 0.001 : float
# SIMPLIFIED-NEXT: %8 = mul %6, %7 : float
# SIMPLIFIED-NEXT: %9 = add %0, %8 : float
# SIMPLIFIED-NEXT: score = %9
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %1    q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %2    kv_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %9    score = score + float((q_idx ^ kv_idx) & 255) * 0.001
# HOISTING-NEXT:         cost 5
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 5
# HOISTING-NOT: {{.}}
