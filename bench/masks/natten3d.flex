# Neighbourhood attention in space and time: frames x rows x columns, window 5 x 7 x 7 that stays inside
param T : int = 8
const Y : int = 32
const X : int = 32
def start(i, n, k) = clamp(i - k // 2, 0, n - k)
def inside(i, j, n, k) = (let s = start(i, n, k); j >= s && j < s + k)
let qt = q_idx // (Y * X)
let kt = kv_idx // (Y * X)
mask = inside(qt, kt, T, 5) && inside(q_idx // X % Y, kv_idx // X % Y, Y, 7) && inside(q_idx % X, kv_idx % X, X, 7)
