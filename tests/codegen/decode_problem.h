// One decode launch against attention written down in fp64: tensors of any float dtype, in guarded memory so that a read past
// an end ends the process, with any strides; the kernel compiled for any target that this machine executes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "conformance/guarded_memory.h"
#include "plan/kernel_key.h"
#include "runtime/decode.h"

namespace flexjit::testing {

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

struct Position {
  int b, h, q_idx, kv_idx;
};
using ScoreOf = std::function<double(double score, const Position&)>;
using AllowedAt = std::function<bool(const Position&)>;

// What the kernel computes, and the same as C++ functions.
struct DecodePattern {
  ir::Program program;
  ScoreOf score = [](double s, const Position&) { return s; };
  AllowedAt allowed = [](const Position&) { return true; };
  std::vector<plan::BufferArg> buffers;
};
DecodePattern plain();

// A tensor whose last byte is the last before a forbidden page; values normal by seed, rounded to the dtype.
class GuardedTensor {
 public:
  GuardedTensor(const DecodeCase& c, int heads, int length, int dim, DType dtype, unsigned seed);
  plan::TensorArg arg() { return {bytes_.data(), strides_[0], strides_[1], strides_[2]}; }
  // The row's elements, as they were stored first.
  const double* row(int b, int h, int row) const { return &first_[offset(b, h, row)]; }
  // One element, as it is now.
  double at(int b, int h, int row, int d) const;

 private:
  std::size_t offset(int b, int h, int row) const {
    return static_cast<std::size_t>(b * strides_[0] + h * strides_[1] + row * strides_[2]);
  }
  DType dtype_;
  std::vector<double> first_;
  std::int64_t strides_[3];
  mutable conformance::GuardedArray<unsigned char> bytes_;
};

class DecodeProblem {
 public:
  explicit DecodeProblem(const DecodeCase& c, unsigned seed = 1);
  // Compiles `pattern` for `target` and launches it.
  runtime::LaunchOutcome run(const DecodePattern& pattern, const plan::Target& target, int threads,
                             const BlockMask* mask = nullptr);
  // By the definition, rows in the order of (b, h, q_idx).
  struct Expected {
    std::vector<double> out, lse, max_scores;
  };
  Expected expected(const DecodePattern& pattern) const;
  // The worst error of out, lse and max_scores, |x - expected| / (1 + |expected|), beyond the rounding of out's dtype.
  double worst_error(const Expected& expected) const;

  DecodeCase c;
  GuardedTensor q, k, v, out;
  std::vector<float> lse, max_scores, sinks;
  float scale = 0.125F;

 private:
  void expect_row(const DecodePattern& pattern, int b, int h, int query, Expected& expected) const;
};

// Every target that this machine executes.
std::vector<plan::Target> executable_targets();

}  // namespace flexjit::testing
