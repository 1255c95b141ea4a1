// Built patterns -> the C header of their library, written to be read: each function's arguments with their types, shapes and
// defaults, the text that was compiled, and how a call looks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/program/interface.h"
#include "plan/kernel_key.h"

namespace flexjit::aot {

// What a header says of one pattern.
struct DeclaredPattern {
  std::string name;  // a C identifier
  std::string text;  // as the user wrote it
  ir::Interface interface;
  plan::ElementTypes types;
  plan::Weights weights = plan::Weights::kSoftmax;
  std::int32_t head_dim = 0;
  std::int32_t v_head_dim = 0;
  std::optional<std::vector<std::uint32_t>> gradients{};  // slots of buffers that have one; absent: no backward pass
};

// `targets` as in EngineOptions. At least one pattern.
std::string c_header(std::span<const DeclaredPattern> patterns, std::span<const std::string> targets);

}  // namespace flexjit::aot
