# Where a reduction runs must be known before it runs, or at most so far.
param  count : int = 4
param  many  : int = 100
buffer len   : i32[q_len]
let a = sum(n in 0..len[q_idx] : n)
let bb = sum(n in 0..257 : n) + sum(n in -1..256 : n)
let c = sum(n in q_idx..4 : n)
let d = sum(n in 0..many : n) + sum(n in -230..count : n)
let e = sum(n in 0..min(len[q_idx], 1000) : n)
let fine = sum(n in 0..count : n) + sum(n in -3..min(len[q_idx], 8) : n) + sum(n in 0..clamp(kv_idx, 0, 16) : n)
score = score + a + bb + c + d + e + fine + sum(n in 5..5 : n) + sum(n in 0..min(many, 200) : n)
