# A name of the text itself is likelier than a foreign one, and a builtin of the other side is never meant.
param q_heads : int = 4
score = score + q_head + q_heads + qv_head
