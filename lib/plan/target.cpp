// The running CPU or a name -> Target. Uses the compiler's own CPU probes, so that a warm process never loads LLVM.
#include "plan/target.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace flexjit::plan {
namespace {

constexpr std::array kFacts = {
#define FLEXJIT_ISA(name, text, triple, cpu, lanes, registers, micro_rows, micro_vectors, decode_rows, features) \
  IsaFacts{text, triple, cpu, lanes, registers, micro_rows, micro_vectors, decode_rows, features},
#include "plan/targets.def"
#undef FLEXJIT_ISA
};
constexpr std::array kIsas = {
#define FLEXJIT_ISA(name, text, triple, cpu, lanes, registers, micro_rows, micro_vectors, decode_rows, features) Isa::k##name,
#include "plan/targets.def"
#undef FLEXJIT_ISA
};

#if defined(__x86_64__)
// AMD's families by CPUID; others keep LLVM's generic scheduling, which costs little on hand-scheduled tiles.
std::string host_tuning() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0 || b != signature_AMD_ebx) return "";
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return "";
  const unsigned family = ((a >> 8) & 0xf) + ((a >> 20) & 0xff);
  const unsigned model = ((a >> 4) & 0xf) | ((a >> 12) & 0xf0);
  if (family == 0x1a) return "znver5";
  if (family == 0x19) return (model >= 0x10 && model <= 0x1f) || (model >= 0x60 && model <= 0xaf) ? "znver4" : "znver3";
  if (family == 0x17) return model >= 0x30 ? "znver2" : "znver1";
  return "";
}
#endif

#if defined(__x86_64__)
// CPUID 7.1, EAX bit 5.
bool host_has_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && ((a >> 5) & 1) != 0;
}
#endif

bool can_execute_isa(Isa isa) {
#if defined(__x86_64__)
  switch (isa) {
    case Isa::kX86_64: return true;
    case Isa::kX86_64_V2: return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    case Isa::kX86_64_V3:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    case Isa::kX86_64_V4:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    case Isa::kAArch64: return false;
  }
  return false;
#else
  return isa == Isa::kAArch64;
#endif
}

bool has_bf16() {
#if defined(__x86_64__)
  return host_has_bf16();
#else
  return false;
#endif
}

constexpr std::string_view kBf16Suffix = "-bf16";

}  // namespace

Isa baseline_of(Isa isa) {
  return *std::ranges::find_if(kIsas, [&](Isa least) { return facts_of(least).triple == facts_of(isa).triple; });
}

const IsaFacts& facts_of(Isa isa) { return kFacts[static_cast<std::size_t>(isa)]; }

std::string name_of(const Target& target) { return fmt::format("{}{}", name_of(target.isa), target.bf16 ? kBf16Suffix : ""); }

bool can_execute(const Target& target) { return can_execute_isa(target.isa) && (!target.bf16 || has_bf16()); }

Caches caches_of(const Target& target) {
  Caches caches;
  if (!can_execute(target)) return caches;
  if (const long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE); l1 > 0) caches.l1 = l1;
  if (const long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE); l2 > 0) caches.l2 = l2;
  return caches;
}

Target host_target() {
#if defined(__x86_64__)
  Target best{Isa::kX86_64, host_tuning(), false};
  for (Isa isa : kIsas) {
    if (can_execute_isa(isa)) best.isa = isa, best.bf16 = has(isa, kBf16Possible) && has_bf16();
  }
  return best;
#else
  return {Isa::kAArch64, "", false};
#endif
}

Result<Target> parse_target(std::string_view name) {
  if (name == "host") return host_target();
  std::string known = "host";
  for (Isa isa : kIsas) {
    for (bool bf16 : {false, true}) {
      if (bf16 && !has(isa, kBf16Possible)) continue;
      Target target{isa, can_execute_isa(isa) ? host_target().tuning : "", bf16};
      if (name == name_of(target)) return target;
      known += fmt::format(", {}", name_of(target));
    }
  }
  Diagnostic diagnostic;
  diagnostic.kind = "unsupported-target";
  diagnostic.source_name = "compile";
  diagnostic.message = fmt::format("unknown target `{}`; the targets are {}", name, known);
  return diagnostic;
}

}  // namespace flexjit::plan
