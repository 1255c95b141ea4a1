// roots.def -> the roots of a program by name.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "ir/program/ops.h"
#include "support/typed_id.h"

namespace flexjit::ir {

using Id = support::TypedId<struct NodeTag>;

enum class Root : std::uint8_t {
#define FLEXJIT_ROOT(name, text, type, without) k##name,
#include "ir/program/roots.def"
#undef FLEXJIT_ROOT
};

struct RootFacts {
  Root root;
  std::string_view name;
  Type type;
};
inline constexpr std::array kRoots{
#define FLEXJIT_ROOT(name, text, type, without) RootFacts{Root::k##name, text, Type::k##type},
#include "ir/program/roots.def"
#undef FLEXJIT_ROOT
};

// A node by root; invalid: the program has no such root.
class Roots {
 public:
  Id& operator[](Root root) { return ids_[static_cast<std::size_t>(root)]; }
  Id operator[](Root root) const { return ids_[static_cast<std::size_t>(root)]; }
  // The same roots where node i became copies[i].
  Roots of_copies(std::span<const Id> copies) const {
    Roots roots;
    for (std::size_t i = 0; i < ids_.size(); ++i) roots.ids_[i] = ids_[i].valid() ? copies[ids_[i].index] : Id{};
    return roots;
  }
  bool operator==(const Roots&) const = default;

 private:
  std::array<Id, kRoots.size()> ids_;
};

}  // namespace flexjit::ir
