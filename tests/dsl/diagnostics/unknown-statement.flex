parm window : int
window = 3
(score)
mask = true
