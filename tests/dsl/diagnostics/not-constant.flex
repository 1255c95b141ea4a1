const a : int = q_len * 2
param k : int = h
param n : int = 4
const c : float = n
score = score
