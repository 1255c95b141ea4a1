# Up to four rectangles of queries x keys a query, some causal in either direction.
buffer at : i32[q_len, 4]        # slices that hold the query, -1 for none
buffer s : i32[?, 5]             # q begin, q end, k begin, k end, kind
def inside(n) = n >= 0 && kv_idx >= s[n, 2] && kv_idx < s[n, 3] && (s[n, 4] % 2 == 0 || kv_idx - s[n, 3] <= q_idx - s[n, 1]) && (s[n, 4] < 2 || kv_idx - s[n, 2] >= q_idx - s[n, 0])
mask = inside(at[q_idx, 0]) || inside(at[q_idx, 1]) || inside(at[q_idx, 2]) || inside(at[q_idx, 3])
