// Where kernels come from: what an engine is told, and what it counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "flexjit/export.h"

namespace flexjit {

enum class Backend : std::uint8_t {
  kCompiled,   // the compiled kernel
  kReference,  // naive fp64 over the interpreter, for every feature; no compiler needed
  // The compiled kernel. A pattern that is in no cache while the compiler cannot be opened gets the reference, and its handle
  // says so: kernel_source() is KernelSource::kReference. Calls with few query rows, if only their kernel is missing, take the
  // pattern's other one.
  kCompiledOrReference,
};

struct EngineOptions {
  int threads = 0;  // 0: OpenMP's default (all cores, or OMP_NUM_THREADS)
  // kCompiled, unless the environment variable FLEXJIT_REFERENCE is set to something other than "" or "0".
  Backend backend = default_backend();
  // "host", or one of "x86-64", "x86-64-v2", "x86-64-v3" (AVX2 and FMA), "x86-64-v4" (AVX-512), "x86-64-v4-bf16"
  // (with AVX512-BF16), "aarch64".
  // A target that this machine cannot execute is an error at compile().
  std::string target = "host";
  std::size_t cache_bytes = std::size_t{64} << 20;  // machine code kept in memory, least recently used out first
  std::string compiler_path{};                      // of libflexjit-compiler; empty: beside libflexjit
  // Where compiled kernels are kept for other processes; empty: nowhere. The directory is made with access for its owner alone,
  // and one that belongs to another user or that others may write to is not used (`flexjit doctor` says so). What is damaged,
  // gone or unreadable there is compiled anew, silently.
  std::string cache_dir = default_cache_dir();
  std::size_t disk_cache_bytes = std::size_t{256} << 20;  // least recently used out first
  // Names kernels for the profiler `perf`, see docs/debugging.md: "map" in /tmp/perf-PID.map, "jitdump" with their code in
  // /tmp/jit-PID.dump, "" nowhere. Anything else, or a file that cannot be written, is an error at compile().
  std::string perf = default_perf();
  // Kernels carry debug information, so that gdb can break in score_mod and mask_mod and step through the lines of the text,
  // see docs/debugging.md. They run as fast; compiling takes longer, and they are not kept on disk.
  bool gdb = default_gdb();

  FLEXJIT_API static Backend default_backend();
  // The environment variable FLEXJIT_CACHE_DIR if it is set (to "" for no cache), else $XDG_CACHE_HOME/flexjit, else
  // $HOME/.cache/flexjit, else "".
  FLEXJIT_API static std::string default_cache_dir();
  FLEXJIT_API static bool default_gdb();  // the environment variable FLEXJIT_GDB is set to something other than "" or "0"
  FLEXJIT_API static std::string default_perf();  // the environment variable FLEXJIT_PERF, else ""
};

enum class KernelSource : std::uint8_t { kCompiled, kMemory, kDisk, kReference, kBuilt };  // kBuilt: of a built library
FLEXJIT_API std::string_view name_of(KernelSource source) noexcept;

// Counters since the engine was made.
struct EngineStats {
  std::int64_t compiles = 0;     // kernels compiled
  std::int64_t memory_hits = 0;  // found in the memory cache (or compiled meanwhile by another thread)
  std::int64_t disk_hits = 0;    // compiled by an earlier process
  std::size_t cached_kernels = 0;
  std::size_t cached_bytes = 0;
};

}  // namespace flexjit
