// FlashAttention's own examples by its names: basic calls, groups of heads, windows, packed tensors, a cache. Each prints
// shapes and counts and is compared with attention by its definition; exits with 1 where something does not hold.
#include <cstdio>

#include "tensor.h"

int main() {
  flexjit::Engine& engine = flexjit::default_engine();
  Findings findings;
  basic(engine, findings);
  windows(engine, findings);
  packed(engine, findings);
  kv_cache(engine, findings);
  std::puts(findings.all_hold() ? "all holds" : "something does not hold");
  return findings.all_hold() ? 0 : 1;
}
