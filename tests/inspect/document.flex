# One read a row and one a key, each in a table of its own.
# RUN: cd %S && %inspect document.flex --view=simplified | %check %s --check-prefix=SIMPLIFIED --match-full-lines
# RUN: cd %S && %inspect document.flex --view=hoisting | %check %s --check-prefix=HOISTING --match-full-lines
# RUN: cd %S && %inspect document.flex --view=access --target=x86-64-v3 | %check %s --check-prefix=ACCESS --match-full-lines
# RUN: cd %S && %inspect document.flex --view=llvm --target=aarch64 | grep -oE '^(define .*|[A-Za-z_][A-Za-z0-9_.]*:)' | %check %s --check-prefix=LLVM --match-full-lines
buffer q_doc  : i32[q_len]
buffer kv_doc : i32[kv_len]
mask = q_doc[q_idx] == kv_doc[kv_idx]

# SIMPLIFIED: buffer q_doc : i32 rank 1
# SIMPLIFIED-NEXT: buffer kv_doc : i32 rank 1
# SIMPLIFIED-NEXT: %0 = const true : bool
# SIMPLIFIED-NEXT: %1 = kv_idx : int
# SIMPLIFIED-NEXT: %2 = read kv_doc[%1] if %0 : int
# SIMPLIFIED-NEXT: %3 = q_idx : int
# SIMPLIFIED-NEXT: %4 = read q_doc[%3] if %0 : int
# SIMPLIFIED-NEXT: %5 = eq %2, %4 : bool
# SIMPLIFIED-NEXT: mask = %5
# SIMPLIFIED-NOT: {{.}}

# HOISTING: once a work item (a batch entry, a head and a tile of query rows), in a register:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: once a query row, in a table of the tile's rows:
# HOISTING-NEXT:   %4    q_doc[q_idx]
# HOISTING-NEXT:         cost 80; slot 0; its range in slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a key, in a table of the tile's columns:
# HOISTING-NEXT:   %2    kv_doc[kv_idx]
# HOISTING-NEXT:         cost 2; slot 0; its range in slot 0
# HOISTING-EMPTY:
# HOISTING-NEXT: once a diagonal (kv_idx - q_idx) of the tile, in a table of its diagonals:
# HOISTING-NEXT:   nothing
# HOISTING-EMPTY:
# HOISTING-NEXT: for each score:
# HOISTING-NEXT:   %5    mask = kv_doc[kv_idx] == q_doc[q_idx]
# HOISTING-NEXT:         = %2 == %4
# HOISTING-NEXT:         cost 1
# HOISTING-EMPTY:
# HOISTING-NEXT: costs are vector instructions, roughly; for each score of score_mod 0
# HOISTING-NOT: {{.}}

# ACCESS: %2 kv_doc[kv_idx]
# ACCESS-NEXT:   buffer   kv_doc : i32[kv_len]
# ACCESS-NEXT:   pattern  contiguous: neighbouring lanes read neighbouring elements
# ACCESS-NEXT:   load     once a key of a tile, one vector load where the buffer's innermost stride is 1, else lane by lane; kept in a table
# ACCESS-NEXT:   range    proved: no check
# ACCESS-EMPTY:
# ACCESS-NEXT: %4 q_doc[q_idx]
# ACCESS-NEXT:   buffer   q_doc : i32[q_len]
# ACCESS-NEXT:   pattern  broadcast: one element for all lanes
# ACCESS-NEXT:   load     once a query row, a scalar load, broadcast where it is used; kept in a table
# ACCESS-NEXT:   range    proved: no check
# ACCESS-NOT: {{.}}

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
# LLVM-NEXT: row_ranges:
# LLVM-NEXT: row_ranges.end:
# LLVM-NEXT: pass:
# LLVM-NEXT: pass.end:
# LLVM-NEXT: span:
# LLVM-NEXT: span.end:
# LLVM-NEXT: key_tile:
# LLVM-NEXT: key_tile.end:
# LLVM-NEXT: column_values:
# LLVM-NEXT: column_values.end:
# LLVM-NEXT: side_by_side:
# LLVM-NEXT: side_by_side.else:
# LLVM-NEXT: side_by_side.end:
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
# LLVM-NEXT: careful38:
# LLVM-NEXT: careful.end39:
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
# LLVM-NEXT: row_result88:
# LLVM-NEXT: row_result.end89:
# LLVM-NEXT: row_result.wanted91:
# LLVM-NEXT: row_result.wanted.else92:
# LLVM-NEXT: row_result.wanted.end93:
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
# LLVM-NEXT: reset.o98:
# LLVM-NEXT: reset.o.end99:
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
