let q_idx = 3
param kv : int = 1
buffer score : f32[?]
const pi : float = 3.0
def min(a, b) = a
def f(and) = 1
let in = 3
def g(inf) = inf
let x = (let true = 1; 2)
score = score
