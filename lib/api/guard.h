// The last line before the user: whatever is thrown below the API becomes a diagnostic.
#pragma once

#include <string_view>

#include "flexjit/attention.h"
#include "flexjit/diagnostic.h"

namespace flexjit::api {

// The diagnostic of the exception in flight; call it inside a catch block. Empty, which a Result reads as `out-of-memory`,
// where there is no memory for it.
Diagnostics describe_exception(std::string_view call) noexcept;

// The finding about a handle that holds no pattern.
Diagnostics empty_attention(std::string_view call);

// body(), which returns a Result; exceptions become its diagnostics.
template <typename Body>
auto guarded(std::string_view call, const Body& body) noexcept -> decltype(body()) {
  try {
    return body();
  } catch (...) {
    return describe_exception(call);
  }
}

// The same for a member of an Attention, which may be empty.
template <typename Body>
auto guarded(std::string_view call, const Attention& attention, const Body& body) noexcept -> decltype(body()) {
  return guarded(call, [&]() -> decltype(body()) {
    if (attention.empty()) return empty_attention(call);
    return body();
  });
}

}  // namespace flexjit::api
