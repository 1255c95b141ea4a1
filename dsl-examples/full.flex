# Every query attends to every key: plain softmax attention. A pattern without score and mask would be the same.
score = score
