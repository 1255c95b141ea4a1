# The derivative of a score with a kink, a choice, a param and two captured buffers: the kernel's own nodes are used again, what adds
# to a buffer has the condition of its choice as its guard, and a proved read adds unchecked.
# RUN: cd %S && %inspect gradient.flex --view=gradient | %check %s --check-prefix=GRADIENT --match-full-lines
param cap : float = 30.0
buffer bias  : f32[num_heads, 65]
buffer scale : bf16[kv_len]
let d = q_idx - kv_idx
let s = clamp(score * scale[kv_idx], -100.0, 100.0)
score = cap * tanh(s / cap) + (abs(d) <= 32 ? bias[h, d + 32] : 0.0)
mask  = q_idx >= kv_idx
