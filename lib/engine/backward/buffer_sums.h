// What the accumulations of a differentiated program add, pair by pair -> the gradients of captured buffers, in fp64.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "call/backward_call.h"
#include "engine/backward/dense_sums.h"
#include "ir/evaluate/interpreter.h"

namespace flexjit::engine {

class BufferSums {
 public:
  // Both must outlive this.
  BufferSums(const ir::Program& derivative, const BackwardCall& call);

  // After Interpreter::eval_score_grad of these keys.
  void add(const ir::Interpreter& interpreter, const ir::RowRange& range, std::span<const std::uint8_t> allowed);
  // Into the wanted gradients, each element rounded once.
  void write() const;

 private:
  struct Sum {
    DenseSums dense;
    std::vector<double> values;
  };
  void add_lane(const ir::Interpreter& interpreter, ir::Id id, std::size_t lane);
  void add_row(const ir::Interpreter& interpreter, ir::Id id, std::size_t lane);

  const ir::Program& program_;
  const BackwardCall& call_;
  std::vector<Sum> sums_;  // by slot; without values where not wanted
};

}  // namespace flexjit::engine
