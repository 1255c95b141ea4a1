buffer W : f32[8, 4]
buffer flat : f32[4]
feature = dot(W, x) + dot(flat, x) + sumsq(W)
