# only a let
let a = 3
