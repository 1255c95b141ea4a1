// An index that knows what it indexes: mixing up two id spaces does not compile.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace flexjit::support {

template <typename Tag>
struct TypedId {
  static constexpr std::uint32_t kInvalid = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t index = kInvalid;

  constexpr bool valid() const noexcept { return index != kInvalid; }
  constexpr auto operator<=>(const TypedId&) const = default;
};

}  // namespace flexjit::support
