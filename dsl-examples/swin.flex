# Swin with shifted windows over a raster-order image: same window of the rolled image, and the same region, so that opposite
# borders do not meet. `%` is the floor modulo: (row - shift) wraps to the other side.
const height : int = 32
const width  : int = 64
const window : int = 8
const shift  : int = 4
def region(x, extent) = x < extent - window ? 0 : (x < extent - shift ? 1 : 2)
let q_row  = (q_idx // width - shift) % height
let q_col  = (q_idx % width - shift) % width
let kv_row = (kv_idx // width - shift) % height
let kv_col = (kv_idx % width - shift) % width
let same_window = q_row // window == kv_row // window && q_col // window == kv_col // window
mask = same_window && region(q_row, height) == region(kv_row, height) && region(q_col, width) == region(kv_col, width)
