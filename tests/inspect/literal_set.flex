# Membership in a set of literals.
# RUN: cd %S && %inspect literal_set.flex --view=ir | %check %s --check-prefix=IR --match-full-lines
# RUN: cd %S && %inspect literal_set.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect literal_set.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
param window : int = 32
mask = kv_idx in {0, 1} || abs(q_idx - kv_idx) <= window

# IR: param window : int
# IR-NEXT: %0 = kv_idx : int
# IR-NEXT: %1 = const 0 : int
# IR-NEXT: %2 = eq %0, %1 : bool
# IR-NEXT: %3 = const 1 : int
# IR-NEXT: %4 = eq %0, %3 : bool
# IR-NEXT: %5 = or %2, %4 : bool
# IR-NEXT: %6 = q_idx : int
# IR-NEXT: %7 = sub %6, %0 : int
# IR-NEXT: %8 = abs %7 : int
# IR-NEXT: %9 = param window : int
# IR-NEXT: %10 = le %8, %9 : bool
# IR-NEXT: %11 = or %5, %10 : bool
# IR-NEXT: mask = %11
# IR-NOT: {{.}}

# SIMPLIFIED: param window : int
# SIMPLIFIED-NEXT: %0 = kv_idx : int
# SIMPLIFIED-NEXT: %1 = const 0 : int
# SIMPLIFIED-NEXT: %2 = eq %0, %1 : bool
# SIMPLIFIED-NEXT: %3 = const 1 : int
# SIMPLIFIED-NEXT: %4 = eq %0, %3 : bool
# SIMPLIFIED-NEXT: %5 = or %2, %4 : bool
# SIMPLIFIED-NEXT: %6 = q_idx : int
# SIMPLIFIED-NEXT: %7 = sub %6, %0 : int
# SIMPLIFIED-NEXT: %8 = abs %7 : int
# SIMPLIFIED-NEXT: %9 = param window : int
# SIMPLIFIED-NEXT: %10 = le %8, %9 : bool
# SIMPLIFIED-NEXT: %11 = or %5, %10 : bool
# SIMPLIFIED-NEXT: mask = %11
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %5    kv_idx == 0 || kv_idx == 1
# HOISTING-NEXT:         cost 3; slot 0; its range in slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   %10   abs(q_idx - kv_idx) <= window
# HOISTING-NEXT:         cost 3; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %11   mask = kv_idx == 0 || kv_idx == 1 || abs(q_idx - kv_idx) <= window
# HOISTING-NEXT:         = %5 || %10
# HOISTING-NEXT:         cost 1
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 0
# HOISTING-NOT: {{.}}
