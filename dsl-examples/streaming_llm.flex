# StreamingLLM: a causal window, and the first `sinks` keys for every query behind them.
param window : int = 256
param sinks  : int = 4
mask = (q_idx >= kv_idx && q_idx - kv_idx <= window) || (q_idx >= sinks && kv_idx <= sinks)
# Positions count from 0 (top-left). With fewer queries than keys, as when decoding, see causal_bottom_right.flex.
