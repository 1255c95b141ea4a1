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

# GRADIENT: the derivative of the score by the score that comes in, bias, scale:
# GRADIENT-NEXT: buffer bias : f32 rank 2
# GRADIENT-NEXT: buffer scale : bf16 rank 1
# GRADIENT-NEXT: param cap : float
# GRADIENT-NEXT: %0 = param cap : float
# GRADIENT-NEXT: %1 = score : float
# GRADIENT-NEXT: %2 = const true : bool
# GRADIENT-NEXT: %3 = kv_idx : int
# GRADIENT-NEXT: %4 = read scale[%3] if %2 : float
# GRADIENT-NEXT: %5 = mul %1, %4 : float
# GRADIENT-NEXT: %6 = const -100.0 : float
# GRADIENT-NEXT: %7 = const 100.0 : float
# GRADIENT-NEXT: %8 = clamp %5, %6, %7 : float
# GRADIENT-NEXT: %9 = div %8, %0 : float
# GRADIENT-NEXT: %10 = tanh %9 : float
# GRADIENT-NEXT: %11 = mul %0, %10 : float
# GRADIENT-NEXT: %12 = q_idx : int
# GRADIENT-NEXT: %13 = sub %12, %3 : int
# GRADIENT-NEXT: %14 = abs %13 : int
# GRADIENT-NEXT: %15 = const 32 : int
# GRADIENT-NEXT: %16 = le %14, %15 : bool
# GRADIENT-NEXT: %17 = h : int
# GRADIENT-NEXT: %18 = add %13, %15 : int
# GRADIENT-NEXT: %19 = read bias[%17, %18] if %16 checked at 1 : float
# GRADIENT-NEXT: %20 = const 0.0 : float
# GRADIENT-NEXT: %21 = select %16, %19, %20 : float
# GRADIENT-NEXT: %22 = add %11, %21 : float
# GRADIENT-NEXT: %23 = le %3, %12 : bool
# GRADIENT-NEXT: %24 = le %5, %7 : bool
# GRADIENT-NEXT: %25 = le %6, %5 : bool
# GRADIENT-NEXT: %26 = and %24, %25 : bool
# GRADIENT-NEXT: %27 = const 1.0 : float
# GRADIENT-NEXT: %28 = mul %10, %10 : float
# GRADIENT-NEXT: %29 = sub %27, %28 : float
# GRADIENT-NEXT: %30 = score_grad : float
# GRADIENT-NEXT: %31 = mul %30, %0 : float
# GRADIENT-NEXT: %32 = mul %29, %31 : float
# GRADIENT-NEXT: %33 = div %32, %0 : float
# GRADIENT-NEXT: %34 = mul %4, %33 : float
# GRADIENT-NEXT: %35 = select %26, %34, %20 : float
# GRADIENT-NEXT: %36 = mul %1, %33 : float
# GRADIENT-NEXT: %37 = accumulate scale[%3] += %36 if %26 : float
# GRADIENT-NEXT: %38 = accumulate bias[%17, %18] += %30 if %16 checked at 1 : float
# GRADIENT-NEXT: score = %22
# GRADIENT-NEXT: mask = %23
# GRADIENT-NEXT: score_grad = %35
# GRADIENT-NEXT: accumulates %37
# GRADIENT-NEXT: accumulates %38
# GRADIENT-NOT: {{.}}
