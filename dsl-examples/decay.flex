# A bonus for near keys that decays exponentially with the distance.
param span : float = 16.0
score = score + 0.1 * exp(-abs(q_idx - kv_idx) / span)
