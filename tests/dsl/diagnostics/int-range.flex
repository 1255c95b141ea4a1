let a = 2147483648
let k = -2147483648
let c = 0x1ffffffff
let d = 99999999999999999999999
score = score
