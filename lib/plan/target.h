// The instruction set that a kernel is compiled for, known without LLVM.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "flexjit/result.h"

namespace flexjit::plan {

enum class Isa : std::uint8_t {
#define FLEXJIT_ISA(name, text, triple, cpu, lanes, registers, micro_rows, micro_vectors, decode_rows, features) k##name,
#include "plan/targets.def"
#undef FLEXJIT_ISA
};

// What only some instruction sets have.
enum Feature : std::uint32_t {
  kNone = 0,
  kFma = 1,
  kGather = 2,           // of 32-bit elements
  kRounding = 4,         // floor, ceil and nearest of floats
  kHalf = 8,             // conversions between fp16 and fp32
  kScalef = 16,          // x * 2^floor(n)
  kBf16Possible = 32,    // some of its processors multiply pairs of bf16
  kNanMinMax = 64,       // minimum and maximum that hand NaN on; others give the second operand
  kWideMultiply = 128,   // of all lanes; others multiply the even ones
  kSlashComments = 256,  // in its assembly: `//`, elsewhere `#`
};

// A row of targets.def.
struct IsaFacts {
  std::string_view name;
  std::string_view triple, cpu;  // LLVM's names
  std::int32_t lanes;            // fp32 lanes of a vector register
  std::int32_t vector_registers;
  std::int32_t micro_rows, micro_vectors;  // of the prefill nest
  std::int32_t decode_rows;
  std::uint32_t features;
};
const IsaFacts& facts_of(Isa isa);
Isa baseline_of(Isa isa);  // the least of its architecture
inline bool has(Isa isa, Feature feature) { return (facts_of(isa).features & feature) != 0; }

struct Target {
  Isa isa = Isa::kX86_64;
  std::string tuning;  // LLVM's name of the host's microarchitecture, "" = generic; only for scheduling
  bool bf16 = false;   // AVX-512 BF16: vdpbf16ps; only where kBf16Possible

  bool operator==(const Target&) const = default;
};

inline std::string_view name_of(Isa isa) { return facts_of(isa).name; }  // "x86-64", "x86-64-v2", ...
std::string name_of(const Target& target);                               // the same, "x86-64-v4-bf16" with BF16
inline int lanes_of(Isa isa) { return facts_of(isa).lanes; }             // fp32

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
