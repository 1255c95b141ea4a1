// A program and its derivative as the interpreter computes them, over all pairs of a small call: what differentiate() says
// beside what finite differences say.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/program/interface.h"

namespace flexjit::ir::test {

// A value a pair, rows of (head, query) after one another.
using Pairs = std::vector<double>;

// Two heads, two queries, three keys, and captured buffers of f64 and i32 with small random values.
class SmallCall {
 public:
  static constexpr std::int32_t kHeads = 2, kQueries = 2, kKeys = 3;
  static constexpr std::size_t kPairs = std::size_t{kHeads} * kQueries * kKeys;

  SmallCall(const Interface& interface, std::uint64_t seed);
  const Environment& environment() const { return environment_; }
  // By slot; empty of ints. An element may be changed between evaluations.
  std::vector<std::vector<double>>& floats() { return floats_; }

 private:
  std::vector<std::vector<double>> floats_;
  std::vector<std::vector<std::int32_t>> ints_;
  std::vector<TensorView> views_;
  std::vector<Scalar> params_;
  Environment environment_;
};

struct Gradients {
  Pairs scores;
  std::vector<std::vector<double>> buffers;  // by slot, elements in the order of SmallCall::floats()
};

// The modified scores.
Pairs modified(const Program& program, const SmallCall& call, Pairs scores);
// By pair: whether every float that the score is made of, by the choices as they fall, is finite and at no point where its own
// derivative is not.
std::vector<std::uint8_t> away_from_poles(const Program& program, const SmallCall& call, Pairs scores);
// Of sum(grads * modified score) over the pairs where `allowed`; 0 elsewhere.
Gradients gradients(const Program& derivative, const SmallCall& call, const Pairs& scores, const Pairs& grads,
                    const std::vector<std::uint8_t>& allowed);

// The slots of all buffers of floats.
std::vector<std::uint32_t> float_buffers(const Program& program);
// Derivatives by all of these that must be one: of the program as lowered and as it is compiled, the latter and the former
// simplified and proved in turn.
std::vector<Program> derivatives(const Lowered& lowered);

}  // namespace flexjit::ir::test
