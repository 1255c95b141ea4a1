# A number of the batch entry.
# RUN: cd %S && %inspect prefix_lm.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect prefix_lm.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect prefix_lm.flex --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
param prefix : int = 64
mask = kv_idx < prefix || q_idx >= kv_idx

# SIMPLIFIED: param prefix : int
# SIMPLIFIED-NEXT: %0 = kv_idx : int
# SIMPLIFIED-NEXT: %1 = param prefix : int
# SIMPLIFIED-NEXT: %2 = lt %0, %1 : bool
# SIMPLIFIED-NEXT: %3 = q_idx : int
# SIMPLIFIED-NEXT: %4 = le %0, %3 : bool
# SIMPLIFIED-NEXT: %5 = or %2, %4 : bool
# SIMPLIFIED-NEXT: mask = %5
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %3    q_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %0    kv_idx
# HOISTING-NEXT:         cost 0; slot 0
# HOISTING-NEXT:   %2    kv_idx < prefix
# HOISTING-NEXT:         cost 1; slot 1; its range in slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %5    mask = kv_idx < prefix || kv_idx <= q_idx
# HOISTING-NEXT:         = %2 || kv_idx <= q_idx
# HOISTING-NEXT:         cost 2
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 0
# HOISTING-NOT: {{.}}

# ACCESS: the pattern reads no captured buffer
# ACCESS-NOT: {{.}}
