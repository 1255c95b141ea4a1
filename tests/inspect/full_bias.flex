# A read whose lanes lie side by side.
# RUN: cd %S && %inspect full_bias.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect full_bias.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect full_bias.flex --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
# RUN: cd %S && %inspect full_bias.flex --view=plan --target=aarch64 | %check %s --check-prefix=PLAN --match-full-lines
# RUN: cd %S && %inspect full_bias.flex --view=llvm --target=aarch64 | grep -oE '^(define .*|[A-Za-z_][A-Za-z0-9_.]*:)' | %check %s --check-prefix=LLVM --match-full-lines
buffer bias : f32[batch_size, num_heads, q_len, kv_len]
score = score + bias[b, h, q_idx, kv_idx]

# SIMPLIFIED: buffer bias : f32 rank 4
# SIMPLIFIED-NEXT: %0 = score : float
# SIMPLIFIED-NEXT: %1 = const true : bool
# SIMPLIFIED-NEXT: %2 = b : int
# SIMPLIFIED-NEXT: %3 = h : int
# SIMPLIFIED-NEXT: %4 = q_idx : int
# SIMPLIFIED-NEXT: %5 = kv_idx : int
# SIMPLIFIED-NEXT: %6 = read bias[%2, %3, %4, %5] if %1 : float
# SIMPLIFIED-NEXT: %7 = add %0, %6 : float
# SIMPLIFIED-NEXT: score = %7
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %4    q_idx
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
# HOISTING-NEXT:   %7    score = score + bias[b, h, q_idx, kv_idx]
# HOISTING-NEXT:         cost 3
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 3
# HOISTING-NOT: {{.}}

# ACCESS: %6 bias[b, h, q_idx, kv_idx]
# ACCESS-NEXT:   buffer   bias : f32[batch_size, num_heads, q_len, kv_len]
# ACCESS-NEXT:   pattern  contiguous: neighbouring lanes read neighbouring elements
# ACCESS-NEXT:   load     for each score, one vector load where the buffer's innermost stride is 1, else lane by lane
# ACCESS-NEXT:   range    proved: no check
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
# PLAN-NEXT: epilogue    vector instructions of score_mod: 3, on the accumulators (8 at most stay in registers)
# PLAN-NEXT: scratch     81088 bytes a thread, within L2
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
# PLAN-NEXT:   row_values            192  table of what varies with q_idx
# PLAN-NEXT:   column_values        1024  table of what varies with kv_idx
# PLAN-NEXT:   visits                576  which panels each group of rows visits
# PLAN-NEXT: decode      up to 32 rows x 16 keys a step, 4 x 4 accumulators, 11520 bytes of scratch
# PLAN-NOT: {{.}}

# LLVM: define void @attend(ptr %tile) #0 {
# LLVM-NEXT: entry:
# LLVM-NEXT: load_q:
# LLVM-NEXT: load_q.end:
# LLVM-NEXT: load_q.prefetch:
# LLVM-NEXT: load_q.prefetch.end:
# LLVM-NEXT: load_q.output:
# LLVM-NEXT: load_q.output.end:
# LLVM-NEXT: load_q.vector:
# LLVM-NEXT: load_q.vector.end:
# LLVM-NEXT: load_q.tail:
# LLVM-NEXT: load_q.tail.end:
# LLVM-NEXT: reset:
# LLVM-NEXT: reset.end:
# LLVM-NEXT: reset.o:
# LLVM-NEXT: reset.o.end:
# LLVM-NEXT: row_values:
# LLVM-NEXT: row_values.end:
# LLVM-NEXT: pass:
# LLVM-NEXT: pass.end:
# LLVM-NEXT: span:
# LLVM-NEXT: span.end:
# LLVM-NEXT: key_tile:
# LLVM-NEXT: key_tile.end:
# LLVM-NEXT: column_values:
# LLVM-NEXT: column_values.end:
# LLVM-NEXT: bounded:
# LLVM-NEXT: bounded.else:
# LLVM-NEXT: bounded.end:
# LLVM-NEXT: visit:
# LLVM-NEXT: visit.end:
# LLVM-NEXT: visit.panel:
# LLVM-NEXT: visit.panel.end:
# LLVM-NEXT: holes:
# LLVM-NEXT: holes.else:
# LLVM-NEXT: holes.end:
# LLVM-NEXT: holes.row:
# LLVM-NEXT: holes.row.end:
# LLVM-NEXT: holes.panel:
# LLVM-NEXT: holes.panel.end:
# LLVM-NEXT: visit_all:
# LLVM-NEXT: visit_all.end:
# LLVM-NEXT: strip:
# LLVM-NEXT: strip.end:
# LLVM-NEXT: group:
# LLVM-NEXT: group.end:
# LLVM-NEXT: visited:
# LLVM-NEXT: visited.else:
# LLVM-NEXT: visited.end:
# LLVM-NEXT: wide:
# LLVM-NEXT: wide.else:
# LLVM-NEXT: wide.end:
# LLVM-NEXT: qk:
# LLVM-NEXT: qk.end:
# LLVM-NEXT: whole:
# LLVM-NEXT: whole.else:
# LLVM-NEXT: whole.end:
# LLVM-NEXT: narrow:
# LLVM-NEXT: narrow.end:
# LLVM-NEXT: narrow.visited:
# LLVM-NEXT: narrow.visited.else:
# LLVM-NEXT: narrow.visited.end:
# LLVM-NEXT: qk_narrow:
# LLVM-NEXT: qk_narrow.end:
# LLVM-NEXT: partial:
# LLVM-NEXT: partial.else:
# LLVM-NEXT: partial.end:
# LLVM-NEXT: epilogue.panel:
# LLVM-NEXT: epilogue.panel.end:
# LLVM-NEXT: epilogue.visited:
# LLVM-NEXT: epilogue.visited.else:
# LLVM-NEXT: epilogue.visited.end:
# LLVM-NEXT: epilogue.row:
# LLVM-NEXT: epilogue.row.end:
# LLVM-NEXT: side_by_side:
# LLVM-NEXT: side_by_side.else:
# LLVM-NEXT: side_by_side.end:
# LLVM-NEXT: first_panel:
# LLVM-NEXT: first_panel.else:
# LLVM-NEXT: first_panel.end:
# LLVM-NEXT: last_panel:
# LLVM-NEXT: last_panel.else:
# LLVM-NEXT: last_panel.end:
# LLVM-NEXT: careful:
# LLVM-NEXT: careful.else:
# LLVM-NEXT: careful.end:
# LLVM-NEXT: careful_rows:
# LLVM-NEXT: careful_rows.end:
# LLVM-NEXT: careful_row:
# LLVM-NEXT: careful_row.end:
# LLVM-NEXT: careful_row.unsettled:
# LLVM-NEXT: careful_row.unsettled.else:
# LLVM-NEXT: careful_row.unsettled.end:
# LLVM-NEXT: careful_weights:
# LLVM-NEXT: careful_weights.end:
# LLVM-NEXT: careful_dims:
# LLVM-NEXT: careful_dims.end:
# LLVM-NEXT: careful34:
# LLVM-NEXT: careful.end35:
# LLVM-NEXT: maxima:
# LLVM-NEXT: maxima.end:
# LLVM-NEXT: softmax:
# LLVM-NEXT: softmax.end:
# LLVM-NEXT: softmax.row:
# LLVM-NEXT: softmax.row.end:
# LLVM-NEXT: exp:
# LLVM-NEXT: exp.end:
# LLVM-NEXT: exp.panel:
# LLVM-NEXT: exp.panel.end:
# LLVM-NEXT: value_dims:
# LLVM-NEXT: value_dims.end:
# LLVM-NEXT: value_rows:
# LLVM-NEXT: value_rows.end:
# LLVM-NEXT: pv:
# LLVM-NEXT: pv.end:
# LLVM-NEXT: results:
# LLVM-NEXT: results.else:
# LLVM-NEXT: results.end:
# LLVM-NEXT: sink:
# LLVM-NEXT: sink.else:
# LLVM-NEXT: sink.end:
# LLVM-NEXT: totals:
# LLVM-NEXT: totals.end:
# LLVM-NEXT: row_result:
# LLVM-NEXT: row_result.end:
# LLVM-NEXT: row_result.wanted:
# LLVM-NEXT: row_result.wanted.else:
# LLVM-NEXT: row_result.wanted.end:
# LLVM-NEXT: row_result84:
# LLVM-NEXT: row_result.end85:
# LLVM-NEXT: row_result.wanted87:
# LLVM-NEXT: row_result.wanted.else88:
# LLVM-NEXT: row_result.wanted.end89:
# LLVM-NEXT: store_out:
# LLVM-NEXT: store_out.end:
# LLVM-NEXT: unsettled:
# LLVM-NEXT: unsettled.else:
# LLVM-NEXT: unsettled.end:
# LLVM-NEXT: settle:
# LLVM-NEXT: settle.else:
# LLVM-NEXT: settle.end:
# LLVM-NEXT: settle.o:
# LLVM-NEXT: settle.o.end:
# LLVM-NEXT: store_out.vector:
# LLVM-NEXT: store_out.vector.end:
# LLVM-NEXT: store_out.tail:
# LLVM-NEXT: store_out.tail.end:
# LLVM-NEXT: not_finite:
# LLVM-NEXT: not_finite.else:
# LLVM-NEXT: not_finite.end:
# LLVM-NEXT: reset.o94:
# LLVM-NEXT: reset.o.end95:
# LLVM-NEXT: define void @pack(ptr %arg) #0 {
# LLVM-NEXT: entry:
# LLVM-NEXT: pack.panel:
# LLVM-NEXT: pack.panel.end:
# LLVM-NEXT: pack.is_ragged:
# LLVM-NEXT: pack.is_ragged.else:
# LLVM-NEXT: pack.is_ragged.end:
# LLVM-NEXT: pack.ragged:
# LLVM-NEXT: pack.ragged.end:
# LLVM-NEXT: pack.copy:
# LLVM-NEXT: pack.copy.end:
# LLVM-NEXT: pack.zero:
# LLVM-NEXT: pack.zero.end:
# LLVM-NEXT: pack.dims:
# LLVM-NEXT: pack.dims.end:
# LLVM-NEXT: pack.tail_dims:
# LLVM-NEXT: pack.tail_dims.end:
# LLVM-NEXT: pack.tail_dim:
# LLVM-NEXT: pack.tail_dim.end:
# LLVM-NEXT: pack.values:
# LLVM-NEXT: pack.values.else:
# LLVM-NEXT: pack.values.end:
# LLVM-NEXT: pack.v:
# LLVM-NEXT: pack.v.end:
# LLVM-NEXT: pack.v.vector:
# LLVM-NEXT: pack.v.vector.end:
# LLVM-NEXT: pack.v.tail:
# LLVM-NEXT: pack.v.tail.end:
# LLVM-NEXT: pack.v.zero:
# LLVM-NEXT: pack.v.zero.end:
# LLVM-NOT: {{.}}
