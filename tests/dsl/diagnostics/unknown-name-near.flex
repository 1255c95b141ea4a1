# Spelt like values that mean something else.
score = score * d_head + head_dim + head_num + d
mask = m >= n && group_id == 0
