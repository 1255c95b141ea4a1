// The conditions under which a read happens. A guard is a conjunction; as a set of literals it tells whether one guard implies
// another, so that a value read under a weaker guard serves under a stronger one.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "ir/program/program.h"

namespace flexjit::ir {

// Which outcome of a condition leads to the guarded side.
enum class Outcome : std::uint8_t { kTrue, kFalse };

using GuardId = support::TypedId<struct GuardTag>;

class Guards {
 public:
  // `builder` must outlive it.
  explicit Guards(ProgramBuilder& builder);

  static constexpr GuardId kAlways{0};
  GuardId also(GuardId guard, Id condition, Outcome outcome);
  // The bool that a Read or Dot takes.
  Id condition(GuardId guard) const { return guards_[guard.index].condition; }
  // True when `weaker` holds wherever `stronger` does, as far as their literals show.
  bool implies(GuardId stronger, GuardId weaker) const;

 private:
  struct Guard {
    Id condition;
    std::vector<std::uint32_t> literals;  // ascending; 2 * node, + 1 where it must be false
  };
  void collect(Id condition, Outcome outcome, std::vector<std::uint32_t>& literals) const;

  ProgramBuilder& builder_;
  std::vector<Guard> guards_;
  std::map<std::pair<GuardId, std::uint32_t>, GuardId> known_;
};

}  // namespace flexjit::ir
