# What constants lose. Exact results and infinities that are asked for say nothing.
const side  : int = 46341
const large : float = 1e38
param limit : int = 65536 * 65536
def twice(x) = x + x
let wrapped = side * side + twice(2147483647) - (-2147483647 - 2)
let lowest  = -2147483648
let negated = -lowest + abs(lowest) + lowest // -1
let bits    = (1 << 31) + (3 << 30) + (0x7fffffff << 1)
let cut     = int(3e9) + int(-3e9)
let huge    = large * 10.0 + large + large + large + exp(100.0) + pow(10.0, 39) + large / 0.01 + -large * 1e9
let fine    = 46340 * 46340 + (1 << 30) + (-1 << 31) + int(2147483520.0) + int(-2147483648.0) + int(inf)
let meant   = 1.0 / 0.0 + 1 / 0 + exp(inf) + log(0.0) + pow(0.0, -1.0) + rsqrt(0.0) + 0.0 / 0.0
score = score + wrapped + negated + bits + cut + huge + fine + meant + limit
