buffer a : float[num_heads]
buffer k : f23[num_heads]
score = score + k[h]
