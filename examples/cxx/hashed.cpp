// One key in eight at random, the same ones for each query, and the query's own neighbours.
unsigned hash(unsigned x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

bool mask_mod(int q_idx, int kv_idx) { return hash(kv_idx) % 8 == 0 || std::abs(q_idx - kv_idx) < 32; }
