# Every statement has one mistake of its own; none hides another.
buffer t : f32[num_heds]
let a = 1 +* 2
let k = a + 1
let c = unknown + 1; let d = c * 2
score = score + t[h] + k + d + h(
mask = q_idx >= kv_idx && wndow > 3
