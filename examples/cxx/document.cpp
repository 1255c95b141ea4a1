// Keys of the query's own document.
#include <span>

bool mask_mod(int q_idx, int kv_idx, [[flexjit::extents("q_len")]] std::span<const int> doc) {
  return q_idx >= kv_idx && doc[q_idx] == doc[kv_idx];
}
