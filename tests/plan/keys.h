// Keys for every target, and for every combination of element types that a kernel has.
#pragma once

#include <string>
#include <vector>

#include "plan/kernel_key.h"

namespace flexjit::plan {

inline std::vector<Target> all_targets() {
  std::vector<Target> all;
  for (const char* name : {
#define FLEXJIT_ISA(name, text, triple, cpu, lanes, registers, micro_rows, micro_vectors, decode_rows, features) text,
#include "plan/targets.def"
#undef FLEXJIT_ISA
           "x86-64-v4-bf16"}) {
    all.push_back(parse_target(name).value());
  }
  return all;
}

inline constexpr ElementTypes kElementTypes[] = {
    {DType::kF32, DType::kF32, DType::kF32},   {DType::kBF16, DType::kBF16, DType::kBF16},
    {DType::kBF16, DType::kBF16, DType::kF32}, {DType::kF16, DType::kF16, DType::kF16},
    {DType::kF32, DType::kBF16, DType::kF32},  {DType::kF32, DType::kF16, DType::kF32},
    {DType::kF64, DType::kF64, DType::kF64},   {DType::kF32, DType::kI8, DType::kF32},
    {DType::kBF16, DType::kE4M3, DType::kF32}, {DType::kF16, DType::kE5M2, DType::kF16},
};

inline std::string to_string(const KernelKey& key) {
  return name_of(key.target) + ", " + std::string(flexjit::name_of(key.types.q)) + " and " +
         std::string(flexjit::name_of(key.types.kv)) + ", head dims " + std::to_string(key.head_dim) + " and " +
         std::to_string(key.v_head_dim);
}

}  // namespace flexjit::plan
