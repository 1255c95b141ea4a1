// Exceptions -> findings.
#include "api/guard.h"

#include <exception>
#include <new>
#include <system_error>

#include "api/report.h"

namespace flexjit::api {

Diagnostics describe_exception(std::string_view call) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return single_finding(call, Finding::kOutOfMemory);
  } catch (const std::system_error& error) {
    return single_finding(call, Finding::kSystem, error.what());
  } catch (const std::exception& error) {
    return single_finding(call, Finding::kInternal, error.what());
  } catch (...) {
    return single_finding(call, Finding::kInternal, "an exception of unknown type");
  }
}

}  // namespace flexjit::api
