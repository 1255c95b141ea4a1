param f : float = 1.0
const n : int = 4
buffer a : f32[0]
buffer k : f32[num_heads * 2]
buffer c : f32[h]
buffer d : f32[f]
buffer e : f32[2 * n - 8, ?]
score = score
