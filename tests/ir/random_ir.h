// seed -> a random well-typed Program with its interface, and (program, seed) -> lengths, params and buffers that fit it. The
// operations are drawn from ops.def, so a new one is generated without a change here; constants include the values at which
// ints wrap and floats stop being ordinary, and most indices can leave their buffers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/evaluate/interpreter.h"
#include "ir/program/interface.h"

namespace flexjit::ir::test {

enum class ScoreUse : std::uint8_t {
  kNone,      // no node reads the score: every float is fp32
  kInTail,    // score-free operands, then operations on the score that no simplification can cut off from it
  kAnywhere,  // operations of the score root may use it like any other float
};

Lowered random_ir(std::uint64_t seed, ScoreUse use);

// Owns what an Environment points to.
class RandomBinding {
 public:
  // Lengths from 1 to `max_length`; heads are a multiple of the kv heads.
  RandomBinding(const Interface& interface, std::uint64_t seed, std::int32_t max_length = 6);
  const Environment& environment() const { return environment_; }

 private:
  std::vector<std::unique_ptr<std::uint64_t[]>> storage_;
  std::vector<TensorView> views_;
  std::vector<Scalar> params_;
  Environment environment_;
};

// The values of a root over the keys of one row, for every row of the environment.
struct RowValues {
  RowRange row;
  std::vector<std::uint8_t> allowed;
  std::vector<double> scores;
  std::vector<std::uint32_t> faulted_sites;
};
// Scores start as small multiples of 0.25 of either sign. Lanes that the mask forbids keep them.
std::vector<RowValues> run_all_rows(const Program& program, const Environment& environment);

}  // namespace flexjit::ir::test
