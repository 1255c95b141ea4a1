# Which group sees which, and when.
buffer group : i32[q_len]
buffer time : i32[q_len]
buffer rule : i32[5, 5]
let r = rule[group[q_idx], group[kv_idx]]
let dt = time[q_idx] - time[kv_idx]
mask = r == 1 && dt >= 0 || r == 2 && dt == 0 || r == 3 && dt > 0
