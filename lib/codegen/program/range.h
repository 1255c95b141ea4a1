// What a mask can be over a rectangle of (query, key) positions, computed by the kernel itself: interval arithmetic on scalars,
// emitted once from the mask's program. It decides which panels of a tile are skipped and which need no mask.
#pragma once

#include <optional>
#include <vector>

#include "codegen/emit/emitter.h"
#include "ir/program/program.h"
#include "plan/hoisting.h"

namespace flexjit::codegen {

// A bool over a rectangle: true somewhere, true everywhere (both may be overestimated and underestimated: true if in doubt for
// `some`, false if in doubt for `all`).
struct Choice {
  Bool some;
  Bool all;
};

// An int or long over a rectangle lies in [least, greatest], both within its type.
struct Range {
  Index least;
  Index greatest;
};

// Emits the mask of one rectangle. Nodes that were set are taken as given; the rest follows from them.
class RangeEmitter {
 public:
  RangeEmitter(Emitter& e, const ir::Program& program);

  void set(ir::Id id, Range range) { ranges_[id.index] = range; }
  void set(ir::Id id, Choice choice) { choices_[id.index] = choice; }
  // A node that has one value all over the rectangle.
  void set_uniform(ir::Id id, llvm::Value* value);
  Choice mask();

 private:
  bool is_set(ir::Id id) const;
  void evaluate(ir::Id id);
  std::optional<Range> arithmetic(ir::Id id);
  Range wrapping(ir::Type type, ir::Op op, Range a, Range b);
  std::optional<Choice> comparison(ir::Id id);
  std::optional<Choice> logic(ir::Id id);
  std::optional<Range> selected(ir::Id id);
  Range within_int32(Range range);
  std::optional<Range> range_of(ir::Id id) const { return ranges_[id.index]; }
  std::optional<Choice> choice_of(ir::Id id) const { return choices_[id.index]; }

  Emitter& e_;
  const ir::Program& program_;
  std::vector<std::optional<Range>> ranges_;    // by node; empty: not an int, or anything
  std::vector<std::optional<Choice>> choices_;  // by node; empty: not a bool, or anything
};

}  // namespace flexjit::codegen
