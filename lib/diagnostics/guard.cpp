// Exceptions -> findings.
#include "diagnostics/guard.h"

#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

#include "diagnostics/report.h"

namespace flexjit::engine {

namespace {

Diagnostics describe(std::string_view call) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return single_finding(call, Finding::kOutOfMemory);
  } catch (const std::length_error&) {  // more elements than any memory holds
    return single_finding(call, Finding::kOutOfMemory);
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::not_enough_memory) return single_finding(call, Finding::kOutOfMemory);
    return single_finding(call, Finding::kSystem, error.what());
  } catch (const std::exception& error) {
    return single_finding(call, Finding::kInternal, error.what());
  } catch (...) {
    return single_finding(call, Finding::kInternal, "an exception of unknown type");
  }
}

}  // namespace

Diagnostics describe_exception(std::string_view call) noexcept {
  try {
    return describe(call);
  } catch (...) {
    return {};
  }
}

Diagnostics empty_handle(std::string_view call) {
  return single_finding(call, Finding::kEmptyHandle, "attention", "assign one that Engine::compile() gave");
}

}  // namespace flexjit::engine
