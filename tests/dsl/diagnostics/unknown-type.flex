param w : i32 = 3
const c : flot = 1.0
score = score
