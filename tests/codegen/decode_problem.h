// One decode launch against the oracle: tensors of any float dtype, in guarded memory so that a read past an end ends the
// process, with any strides; the kernel compiled for any target that this machine executes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cache/kernel_cache.h"
#include "conformance/guarded_memory.h"
#include "plan/kernel_key.h"
#include "runtime/decode/decode.h"
#include "support/comparison.h"

namespace flexjit::test {

// In memory, (batch, heads, length) or (batch, length, heads); `gap` elements between two rows.
enum class Order : std::uint8_t { kHeadsFirst, kLengthFirst };

struct DecodeCase {
  int batch = 1, kv_heads = 2, group = 1, q_len = 1, kv_len = 100;
  int head_dim = 64, v_head_dim = 64;
  plan::ElementTypes types{};
  plan::Weights weights = plan::Weights::kSoftmax;
  Order order = Order::kHeadsFirst;
  int gap = 0;
  bool sinks = false;

  int q_heads() const { return kv_heads * group; }
};
std::string to_string(const DecodeCase& c);

// What the kernel computes, and the same as C++ functions.
struct DecodePattern {
  ir::Program program;
  test::OraclePattern exact{};
  std::vector<plan::BufferArg> buffers;
};
DecodePattern plain();

class DecodeProblem {
 public:
  explicit DecodeProblem(const DecodeCase& c);
  // Compiles `pattern` for `target` and launches it.
  runtime::LaunchOutcome run(const DecodePattern& pattern, const plan::Target& target, int threads,
                             const BlockMask* mask = nullptr);
  test::OracleResult expected(const DecodePattern& pattern) const;

  DecodeCase c;
  test::Problem tensors;
  std::vector<float> sinks;
  double scale = 0.125;
};

// Compiles each key once for the whole process.
cache::SharedKernel kernel_of(const plan::KernelKey& key);

// Every target that this machine executes.
std::vector<plan::Target> executable_targets();

}  // namespace flexjit::test
