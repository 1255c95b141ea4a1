# Not monotonous in the score: any expression is legal. Each key has its own weight.
buffer weight : f32[kv_len]
score = weight[kv_idx] * score * score
