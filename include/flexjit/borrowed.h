// A std::span for members of argument structs. It takes whatever lives on, and no temporary: a struct that outlives the full
// expression would be left with a dangling span.
#pragma once

#include <concepts>
#include <ranges>
#include <span>
#include <utility>

namespace flexjit {

template <typename T>
class Borrowed : public std::span<const T> {
 public:
  constexpr Borrowed() = default;
  template <typename Range>
    requires(std::ranges::borrowed_range<Range> && std::constructible_from<std::span<const T>, Range>)
  constexpr Borrowed(Range&& range)  // NOLINT(google-explicit-constructor)
      : std::span<const T>(std::forward<Range>(range)) {}
};

}  // namespace flexjit

template <typename T>
inline constexpr bool std::ranges::enable_borrowed_range<flexjit::Borrowed<T>> = true;
template <typename T>
inline constexpr bool std::ranges::enable_view<flexjit::Borrowed<T>> = true;
