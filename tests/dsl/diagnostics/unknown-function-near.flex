# Spelt like functions that mean something else.
score = sign(score) + tan(score) + sinh(score) + cosh(score) + erfc(score) + asin(score) + atan(score) + softplus(score)
