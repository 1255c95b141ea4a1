score = score + sum(let in 0..4 : 1) + sum(pi in 0..4 : 1) + sum(true in 0..2 : 2)
