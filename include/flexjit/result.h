// Result<T> is either a value or the list of everything that was wrong. Callers who prefer exceptions call value(), which
// throws flexjit::Error; callers who do not test has_value() first and never see one.
#pragma once

#include <stdexcept>
#include <utility>
#include <variant>

#include "flexjit/diagnostic.h"

namespace flexjit {

// Thrown by Result::value() on a failed result; what() is the rendered text of all diagnostics.
class FLEXJIT_API Error : public std::runtime_error {
 public:
  explicit Error(Diagnostics diagnostics) : std::runtime_error(render(diagnostics)), diagnostics_(std::move(diagnostics)) {}
  const Diagnostics& diagnostics() const noexcept { return diagnostics_; }

 private:
  Diagnostics diagnostics_;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Diagnostics diagnostics)
      : state_(std::in_place_index<1>, std::move(diagnostics)) {}                // NOLINT(google-explicit-constructor)
  Result(Diagnostic diagnostic) : Result(Diagnostics{std::move(diagnostic)}) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  // The value; throws Error when there is none.
  T& value() & {
    require();
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    require();
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    require();
    return std::move(*std::get_if<0>(&state_));
  }

  // The value, unchecked: the caller has tested has_value().
  T& operator*() & noexcept { return *std::get_if<0>(&state_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&state_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&state_)); }
  T* operator->() noexcept { return std::get_if<0>(&state_); }
  const T* operator->() const noexcept { return std::get_if<0>(&state_); }

  // What was wrong; the result has no value.
  const Diagnostics& diagnostics() const noexcept { return *std::get_if<1>(&state_); }

 private:
  void require() const {
    if (!has_value()) throw Error(diagnostics());
  }
  std::variant<T, Diagnostics> state_;
};

struct Unit {};
using Status = Result<Unit>;

}  // namespace flexjit
