// What the C interface's handles hold, and the frame of its functions: arguments checked, diagnostics turned into a
// flexjit_error, no exception let through.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "flexjit/c_api.h"
#include "flexjit/flexjit.h"

struct flexjit_engine {
  flexjit::Engine engine;
};
struct flexjit_attention {
  flexjit::Attention attention;
  // What the questions about it point into.
  std::string target = attention.target();
  std::string warnings = flexjit::render(attention.warnings());
  std::vector<flexjit::BufferDeclaration> buffers = attention.buffers();
  std::vector<flexjit::ParamDeclaration> params = attention.params();
};
struct flexjit_block_mask {
  flexjit::BlockMask mask;
};
struct flexjit_blob {
  std::string bytes;
};
struct flexjit_trace {
  flexjit::Trace trace;
};
struct flexjit_error {
  flexjit::Diagnostics diagnostics;
  std::string message;
};

namespace flexjit::engine {

// `error` may be null. Where there is no memory for an error, it is one that was made before.
flexjit_status fail(const Diagnostics& diagnostics, flexjit_error** error) noexcept;

// body(report) does the work when it found nothing to report.
template <typename Body>
flexjit_status c_call(const char* name, flexjit_error** error, const Body& body) noexcept {
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

// What a call made -> a handle of the caller's.
template <typename Handle, typename T>
Status hand_over(Result<T> made, Handle** handle) {
  if (!made) return made.diagnostics();
  *handle = new Handle{*std::move(made)};
  return Unit{};
}

// A function's answer in the caller's place for it.
template <typename T>
Status assign(Result<T> made, T* target) {
  if (!made) return made.diagnostics();
  *target = *std::move(made);
  return Unit{};
}

// Fills what the caller's struct has room for: all that *_init() said, or the `first` bytes that version 0.1 had.
template <typename Struct>
void fill(Struct* target, Struct filled, std::size_t first) {
  const bool is_known = target->struct_size > first && target->struct_size <= sizeof(Struct);
  const std::size_t size = is_known ? target->struct_size : first;
  filled.struct_size = size;
  std::memcpy(target, &filled, size);
}

// `stats` may be null.
void fill_stats(const RunStats& result, flexjit_run_stats* stats);

using RunFunction = std::function<Result<RunStats>(const RunArgs&)>;
// `given` may be null or of an older version; `stats` may be null.
Status run_with(const RunFunction& run, const flexjit_run_args* given, flexjit_run_stats* stats, Report& report);

}  // namespace flexjit::engine
