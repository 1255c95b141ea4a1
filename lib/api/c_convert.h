// The structs of c_api.h -> the C++ values that they describe. C callers can pass anything, so enums, null names and struct
// sizes are checked here; what the values mean is checked where the C++ API checks it.
#pragma once

#include <cstring>
#include <optional>
#include <string_view>

#include "api/report.h"
#include "flexjit/c_api.h"
#include "flexjit/engine.h"

namespace flexjit::api {

// The caller's struct, completed with the defaults of fields that its version did not have. `init` is its *_init function.
template <typename Struct>
std::optional<Struct> complete(const Struct* given, std::string_view name, void (*init)(Struct*), Report& report) {
  if (given == nullptr) {
    report.add(Finding::kNullArgument, name);
    return std::nullopt;
  }
  if (given->struct_size < sizeof(std::size_t) || given->struct_size > sizeof(Struct)) {
    report.add(Finding::kStructSize, name, given->struct_size, sizeof(Struct), name);
    return std::nullopt;
  }
  Struct full;
  init(&full);
  std::memcpy(&full, given, given->struct_size);
  return full;
}

EngineOptions to_options(const flexjit_engine_options& options, Report& report);
AttentionSpec to_spec(const flexjit_spec& spec, Report& report);
Bindings to_bindings(const flexjit_bindings& bindings, Report& report);
// `bindings` and `block_mask` are left null.
RunArgs to_run_args(const flexjit_run_args& args, Report& report);
BlockMaskOptions to_mask_options(const flexjit_block_mask_options& options);

}  // namespace flexjit::api
