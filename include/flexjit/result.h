// Result<T> is either a value or the list of everything that was wrong. Callers who prefer exceptions call value(), which
// throws flexjit::Error; callers who do not test has_value() first never see one.
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
  const Diagnostics& diagnostics() const& noexcept { return diagnostics_; }
  Diagnostics diagnostics() && { return std::move(diagnostics_); }

 private:
  Diagnostics diagnostics_;
};

// What is taken from a result that is itself a temporary is a value, never a reference into it: `for (const Diagnostic& found :
// engine.compile(spec).diagnostics())` and `const auto& views = inspect(...).value()` are safe.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  // An empty list says that memory ran out, for there was none to say it with.
  Result(Diagnostics diagnostics)
      : state_(std::in_place_index<1>, std::move(diagnostics)) {}                // NOLINT(google-explicit-constructor)
  Result(Diagnostic diagnostic) : Result(Diagnostics{std::move(diagnostic)}) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  // The value; throws Error when there is none.
  T& value() & { return require(), *std::get_if<0>(&state_); }
  const T& value() const& { return require(), *std::get_if<0>(&state_); }
  T value() && { return require(), std::move(*std::get_if<0>(&state_)); }
  T value() const&& { return require(), *std::get_if<0>(&state_); }

  // The same.
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T operator*() const&& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // What was wrong; nothing for a result that has a value.
  const Diagnostics& diagnostics() const& noexcept {
    const Diagnostics* found = std::get_if<1>(&state_);
    if (found == nullptr) return no_diagnostics();
    return found->empty() ? out_of_memory() : *found;
  }
  Diagnostics diagnostics() const&& { return diagnostics(); }

 private:
  void require() const {
    if (!has_value()) throw Error(diagnostics());
  }
  std::variant<T, Diagnostics> state_;
};

struct Unit {};
using Status = Result<Unit>;

}  // namespace flexjit
