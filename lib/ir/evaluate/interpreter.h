// Program -> values, one row of keys at a time: the oracle of every kernel test and the engine of the reference backend.
// Shares no code with codegen. What depends on `score` or its gradient is computed in fp64, and so is all in a program whose
// floats are fp64; every other float is rounded to fp32 after each operation, because comparisons, floor and int() of index
// arithmetic must decide as the kernel does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/evaluate/lanes.h"
#include "ir/program/program.h"

namespace flexjit::ir {

// The keys [kv_begin, kv_begin + count) of one query row.
struct RowRange {
  std::int32_t b = 0;
  std::int32_t h = 0;
  std::int32_t q_idx = 0;
  std::int32_t kv_begin = 0;
  std::int32_t count = 0;  // at most Interpreter::kMaxCount
};

// A read outside its buffer in a lane that counts. For a Dot, `dimension` counts through the indices of a, then those of b.
struct ReadFault {
  std::uint32_t site = 0;
  std::int32_t dimension = 0;
  std::int64_t index = 0;
};

struct FirstFault;

// Holds scratch, so one per thread; the Program and Environment must outlive it and stay as they were when it was made.
class Interpreter {
 public:
  static constexpr std::int32_t kMaxCount = 256;

  Interpreter(const Program& program, const Environment& environment);

  // allowed[i] = 1 where the mask holds at kv_begin + i. Without a mask all are 1. The fault is that of the first lane. Calls
  // that keep the row or the keys of the call before keep what depends on these alone.
  std::optional<ReadFault> eval_mask(const RowRange& row, std::span<std::uint8_t> allowed);

  // scores[i] = score_mod(scores[i]) where allowed[i]; other lanes are left alone and read nothing.
  std::optional<ReadFault> eval_score(const RowRange& row, std::span<const std::uint8_t> allowed, std::span<double> scores);

  // factors[i] = what the weight of the pair is multiplied with, 1 without such a root, where allowed[i]; other lanes are left
  // alone and read nothing.
  std::optional<ReadFault> eval_weight_factor(const RowRange& row, std::span<const std::uint8_t> allowed,
                                              std::span<double> factors);

  // values[i], element kv_begin + i of a row, or of its product with the pattern's matrix, becomes the feature of that number.
  // The row's q_idx does not matter.
  std::optional<ReadFault> eval_feature(const RowRange& row, double sum_of_squares, std::span<double> values);
  // gates[i] = the gate of key kv_begin + i, 1 without such a root. The row's q_idx does not matter.
  std::optional<ReadFault> eval_gate(const RowRange& row, std::span<double> gates);

  // score_grads[i], the gradient of the modified score, becomes that of scores[i], the score as it comes in, where allowed[i];
  // other lanes are left alone and read nothing. Afterwards lanes() tells what the accumulations add.
  std::optional<ReadFault> eval_score_grad(const RowRange& row, std::span<const std::uint8_t> allowed,
                                           std::span<const double> scores, std::span<double> score_grads);
  // By lane, until the next call: the values of a node that the last call evaluated, as the operands of accumulations after
  // eval_score_grad. Those of lanes that are not allowed say nothing.
  const Lanes& lanes(Id id) const { return values_[id.index]; }

 private:
  // What a node's value changes with.
  enum class Varies : std::uint8_t { kByRow, kByKey, kByBoth };

  std::vector<Varies> variations() const;
  // What comes in for each pair of a row; empty where nothing that is evaluated depends on it.
  struct Incoming {
    std::span<const double> scores{};
    std::span<const double> score_grads{};
    std::span<const double> row_values{};
    double sum_of_squares = 0;
  };
  void eval_any(Id id, const RowRange& row, std::span<const std::uint8_t> active, const Incoming& incoming, FirstFault& fault);
  void eval_node(Id id, const RowRange& row, const Incoming& incoming);
  // One lane, which then stands in all of them.
  void eval_row_value(Id id, const RowRange& row, FirstFault& fault);
  void eval_access(Id id, std::span<const std::uint8_t> active, FirstFault& fault);
  void eval_accumulation(Id id, std::int32_t count);
  void fill_constants();
  bool constant_over_call(Op op) const;

  const Program& program_;
  const Environment& environment_;
  std::vector<Lanes> values_;
  std::vector<Precision> precision_;  // fp64 for what depends on score
  // Ascending ids that each root needs, less what is constant; accumulations are with the gradient.
  std::vector<std::uint32_t> score_order_, mask_order_, weight_factor_order_, score_grad_order_, feature_order_, gate_order_;
  std::vector<Varies> varies_;
  std::optional<RowRange> masked_;  // of the last eval_mask, if its values are still there
};

}  // namespace flexjit::ir
