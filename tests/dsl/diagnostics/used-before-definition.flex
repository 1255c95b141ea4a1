score = score * scale_of(h) + bias
def scale_of(x) = x + 1
let bias = 3
