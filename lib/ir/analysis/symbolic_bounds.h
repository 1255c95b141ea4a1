// Program -> for every int node, linear forms that are at most and at least its value in every call. Where an operation could
// wrap, nothing is known but that the result is an int.
#pragma once

#include <vector>

#include "ir/analysis/linear.h"
#include "ir/program/interface.h"

namespace flexjit::ir {

// Each lower form is <= the value, each upper form >= it. Never empty.
struct SymbolicBounds {
  std::vector<Linear> lower;
  std::vector<Linear> upper;
};

class SymbolicAnalysis {
 public:
  // Extents that the interface declares hold for the buffers bound, which makes params that are extents non-negative.
  SymbolicAnalysis(const Program& program, const Interface& interface);

  // Whether 0 <= id < extent in every call.
  bool proves_inside(Id id, const Extent& extent) const;

 private:
  SymbolicBounds eval(Id id) const;
  SymbolicBounds eval_operation(const Node& node, const SymbolicBounds& a, const SymbolicBounds& b) const;
  SymbolicBounds eval_product(const SymbolicBounds& a, const SymbolicBounds& b) const;
  SymbolicBounds eval_quotient(const SymbolicBounds& a, const SymbolicBounds& b) const;
  SymbolicBounds eval_modulo(const SymbolicBounds& a, const SymbolicBounds& b) const;
  SymbolicBounds eval_absolute(const SymbolicBounds& a) const;
  SymbolicBounds eval_mask(const SymbolicBounds& a, const SymbolicBounds& b) const;
  SymbolicBounds without_wrap(SymbolicBounds bounds) const;
  SymbolicBounds scaled(const SymbolicBounds& a, std::int64_t factor) const;
  SymbolicBounds sum(const SymbolicBounds& a, const SymbolicBounds& b) const;
  // Forms below (above) both operands.
  std::vector<Linear> below_both(const std::vector<Linear>& a, const std::vector<Linear>& b) const;
  std::vector<Linear> above_both(const std::vector<Linear>& a, const std::vector<Linear>& b) const;
  // Drops forms that others make useless, and keeps the number small.
  std::vector<Linear> strongest_lower(const std::vector<Linear>& forms) const;
  std::vector<Linear> strongest_upper(const std::vector<Linear>& forms) const;

  std::int64_t least(const SymbolicBounds& a) const;
  std::int64_t greatest(const SymbolicBounds& a) const;
  bool at_most(const Linear& a, const Linear& b) const;

  const Program& program_;
  std::vector<bool> nonnegative_params_;
  std::vector<SymbolicBounds> bounds_;  // by id; empty for floats and bools
};

}  // namespace flexjit::ir
