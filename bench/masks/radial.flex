# Radial attention of video models: the first frame, and a band in every other frame that is the narrower the farther the frame
# is; beyond some distance only every other, fourth, ... frame.
param tokens : int = 3600
param least : float = 128.0
let fi = q_idx // tokens
let fj = kv_idx // tokens
let d = abs(fi - fj)
let group = d > 0 ? int(floor(log2(d))) + 1 : 0
let bits = int(floor(log2(tokens))) + 1
let decay = exp2(bits - group)
let width = d <= 1 ? float(tokens) : max(decay, least)
let split = decay >= least ? 1 : int(least / min(decay, least))
mask = fj == 0 || abs(q_idx % tokens - kv_idx % tokens) <= width && d % split == 0
