// Typed graph -> IR nodes, on demand from the roots.
//
// A read happens only where its value is needed: the sides of `? :` and where, and the right sides of && and ||, pass a guard
// down. A value without reads is lowered once. One with reads is lowered once a guard, unless an instance under a weaker guard
// exists; so that it does, what a side needs unconditionally is lowered first.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "dsl/check/checked.h"
#include "ir/lower/lower_guards.h"
#include "ir/lower/lower_needs.h"
#include "ir/program/interface.h"

namespace flexjit::ir {

class ExpressionLowering {
 public:
  // All must outlive it. Buffers and params are already in `builder`; read sites and, by mark, expressions are appended to
  // `interface`.
  ExpressionLowering(const dsl::Checked& checked, ProgramBuilder& builder, Interface& interface);

  Id lower_root(dsl::TypedId root);
  // The bound on IR nodes was reached; what was lowered since is meaningless.
  bool exhausted() const { return exhausted_; }

 private:
  struct Instance {
    GuardId guard;
    Id id;
  };

  Id lower(dsl::TypedId id, GuardId guard);
  Id lower_node(dsl::TypedId id, GuardId guard);
  Id lower_operator_node(dsl::TypedId id, GuardId guard);
  Id lower_select(dsl::TypedId id, GuardId guard);
  Id lower_member(dsl::TypedId id, GuardId guard);
  Id lower_read(dsl::TypedId id, GuardId guard);
  Id lower_dot(dsl::TypedId id, GuardId guard);
  Id lower_side(dsl::TypedId side, GuardId guard, Id condition, Outcome outcome);
  std::vector<Id> lower_operands(dsl::TypedId id, GuardId guard);
  Id lower_const(dsl::Constant value);

  void lower_needs(dsl::TypedId root, GuardId guard);
  void mark(dsl::Span span, Id id);
  std::uint32_t site_of(dsl::Span span, std::uint32_t buffer);

  const dsl::Checked& checked_;
  ProgramBuilder& builder_;
  Interface& interface_;
  Guards guards_;
  std::vector<Needs> needs_;                      // by typed node
  std::vector<std::vector<Instance>> instances_;  // by typed node
  std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>, std::uint32_t> known_sites_;
  bool exhausted_ = false;
};

}  // namespace flexjit::ir
