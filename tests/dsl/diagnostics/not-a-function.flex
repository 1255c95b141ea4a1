buffer slope : f32[num_heads]
let x = 3
score = score + slope(h) + x(2) + h(3)
