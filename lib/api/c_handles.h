// What the C interface's handles hold, and the frame of its functions: arguments checked, diagnostics turned into a
// flexjit_error, no exception let through.
#pragma once

#include <string>
#include <utility>

#include "api/guard.h"
#include "api/report.h"
#include "flexjit/c_api.h"
#include "flexjit/flexjit.h"

struct flexjit_engine {
  flexjit::Engine engine;
};
struct flexjit_attention {
  flexjit::Attention attention;
  std::string target = attention.target();
  std::string warnings = flexjit::render(attention.warnings());
};
struct flexjit_block_mask {
  flexjit::BlockMask mask;
};
struct flexjit_error {
  flexjit::Diagnostics diagnostics;
  std::string message;
};

namespace flexjit::api {

// `error` may be null.
flexjit_status fail(Diagnostics diagnostics, flexjit_error** error);

// body(report) does the work when it found nothing to report.
template <typename Body>
flexjit_status c_call(const char* name, flexjit_error** error, const Body& body) {
  if (error != nullptr) *error = nullptr;
  const Status status = guarded(name, [&]() -> Status {
    Report report(name);
    return body(report);
  });
  return status ? FLEXJIT_OK : fail(status.diagnostics(), error);
}

template <typename Pointer>
void require(const Pointer* pointer, const char* name, Report& report) {
  if (pointer == nullptr) report.add(Finding::kNullArgument, name);
}

using RunFunction = Result<RunStats> (*)(const Attention&, const RunArgs&);
// `given` may be null or of an older version; `stats` may be null.
Status run_with(RunFunction run, const Attention& attention, const flexjit_run_args* given, flexjit_run_stats* stats,
                Report& report);

}  // namespace flexjit::api
