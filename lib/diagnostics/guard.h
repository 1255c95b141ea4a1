// The last line before the user: whatever is thrown below the API becomes a diagnostic.
#pragma once

#include <string_view>

#include "flexjit/diagnostic.h"
#include "support/fork_gate.h"
#include "support/large_stack.h"

namespace flexjit::engine {

// The diagnostic of the exception in flight; call it inside a catch block. Empty, which a Result reads as `out-of-memory`,
// where there is no memory for it.
Diagnostics describe_exception(std::string_view call) noexcept;

// The finding about a handle that holds no pattern.
Diagnostics empty_handle(std::string_view call);

// body(), which returns a Result; exceptions become its diagnostics.
template <typename Body>
auto guarded(std::string_view call, const Body& body) noexcept -> decltype(body()) {
  try {
    return body();
  } catch (...) {
    return describe_exception(call);
  }
}

// As guarded(), for calls that read texts or generate code, however small the caller's stack. A fork() of another thread waits
// for them.
template <typename Body>
auto guarded_on_large_stack(std::string_view call, const Body& body) -> decltype(body()) {
  return guarded(call, [&] {
    return support::on_large_stack([&] {
      const support::Pass pass;
      return body();
    });
  });
}

// The same for a member of a handle, which may be empty.
template <typename Handle, typename Body>
auto guarded(std::string_view call, const Handle& handle, const Body& body) noexcept -> decltype(body()) {
  return guarded(call, [&]() -> decltype(body()) {
    if (handle.empty()) return empty_handle(call);
    return body();
  });
}

}  // namespace flexjit::engine
