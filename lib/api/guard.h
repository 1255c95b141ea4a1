// The last line before the user: whatever is thrown below the API becomes a diagnostic.
#pragma once

#include <string_view>

#include "flexjit/diagnostic.h"

namespace flexjit::api {

// The diagnostic of the exception in flight; call it inside a catch block.
Diagnostics describe_exception(std::string_view call);

// body(), which returns a Result; exceptions become its diagnostics.
template <typename Body>
auto guarded(std::string_view call, const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (...) {
    return describe_exception(call);
  }
}

}  // namespace flexjit::api
