// Appends typed nodes: folds constants, passes the "reads" and "from score" marks upwards, and counts, so that inlining can
// never outgrow its bounds.
#pragma once

#include <span>
#include <vector>

#include "dsl/check/check.h"
#include "dsl/check/fold.h"
#include "dsl/findings/diagnostic_engine.h"

namespace flexjit::dsl {

class TypedBuilder {
 public:
  // Both must outlive it. What a constant loses is a warning.
  TypedBuilder(Checked& checked, DiagnosticEngine& diagnostics) : checked_(checked), diagnostics_(diagnostics) {}

  // Fills in what follows from the operands. Invalid when an operand is, or when the bounds are reached (exhausted() from then
  // on).
  TypedId add(TypedNode node, std::span<const TypedId> operands);
  // A float is rounded to the precision of the program.
  TypedId constant(Constant value, Span span);
  // The same node when it is of that type already.
  TypedId convert(TypedId id, Type type, Span span);

  bool exhausted() const { return exhausted_; }
  void set_exhausted() { exhausted_ = true; }
  const TypedNode& node(TypedId id) const { return checked_.node(id); }
  Type type_of(TypedId id) const { return node(id).type; }

  // Forgets every node made since `mark`; none of the kept ones may refer to them.
  struct Mark {
    std::size_t nodes, operands, dots;
  };
  Mark mark() const { return {checked_.nodes.size(), checked_.operands.size(), checked_.dots.size()}; }
  void rewind(const Mark& mark);

 private:
  std::optional<Constant> folded(const TypedNode& node, std::span<const TypedId> operands);
  void warn_of_overflow(const TypedNode& node, Constant result);

  Checked& checked_;
  DiagnosticEngine& diagnostics_;
  bool exhausted_ = false;
};

}  // namespace flexjit::dsl
