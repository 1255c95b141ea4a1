// FLEXJIT_CHECK guards our own invariants, never a user's input. A broken one throws InternalError with the condition and,
// where given, the program that exposed it; the API turns it into an `internal` diagnostic.
#pragma once

#include <stdexcept>
#include <string>

namespace flexjit::support {

class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] inline void check_failed(const char* condition, const char* file, int line, const std::string& detail = {}) {
  throw InternalError(std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition +
                      (detail.empty() ? "" : "\n" + detail));
}

}  // namespace flexjit::support

#define FLEXJIT_CHECK(condition, ...) \
  ((condition) ? void() : ::flexjit::support::check_failed(#condition, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__))
