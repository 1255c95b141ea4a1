// Loaded kernels -> what `perf` knows of them. Without it a profile shows addresses in nameless memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "cache/code_symbols.h"

namespace flexjit::cache {

enum class Perf : std::uint8_t {
  kOff,
  kMap,      // /tmp/perf-PID.map: a line of address, size and name a function; `perf report` reads it
  kJitdump,  // /tmp/jit-PID.dump: the code itself and when it was loaded; `perf inject --jit` reads it, for `perf annotate`
};

// "", "map" and "jitdump".
std::optional<Perf> parse_perf(std::string_view text);

// Makes the file of this process, so that a later announce finds it. Throws std::system_error. Thread-safe.
void prepare_perf(Perf perf);

// Adds to the file, which every engine of the process shares. Throws std::system_error. Thread-safe.
void announce(Perf perf, std::span<const CodeSymbol> symbols);

}  // namespace flexjit::cache
