// The instruction set that a kernel is compiled for, known without LLVM.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "flexjit/result.h"

namespace flexjit::plan {

enum class Isa : std::uint8_t { kX86_64, kX86_64_V2, kX86_64_V3, kX86_64_V4, kAArch64 };

struct Target {
  Isa isa = Isa::kX86_64;
  std::string tuning;  // LLVM's name of the host's microarchitecture, "" = generic; only for scheduling
  bool bf16 = false;   // AVX-512 BF16: vdpbf16ps; only with kX86_64_V4

  bool operator==(const Target&) const = default;
};

std::string_view name_of(Isa isa);          // "x86-64", "x86-64-v2", ...
std::string name_of(const Target& target);  // the same, "x86-64-v4-bf16" with BF16
int lanes_of(Isa isa);                      // fp32 lanes of a vector register
int vector_registers_of(Isa isa);
bool has_fma(Isa isa);
bool has_gather(Isa isa);  // of 32-bit elements

// Data caches of one core, in bytes.
struct Caches {
  std::int64_t l1 = std::int64_t{32} << 10;
  std::int64_t l2 = std::int64_t{512} << 10;
};
// The running machine's for a target that it can execute, else these modest ones.
Caches caches_of(const Target& target);

// The best Isa of the running machine, and its tuning.
Target host_target();
bool can_execute(const Target& target);
// "host" or a name of a target. Error `unsupported-target` names those that exist.
Result<Target> parse_target(std::string_view name);

}  // namespace flexjit::plan
