const a : int = 1.5
param k : bool = 1
const c : float = true
param d : float = 3
score = score
