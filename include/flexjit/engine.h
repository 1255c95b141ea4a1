// The engine owns the compiler's door, the kernel cache and the thread count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "flexjit/attention.h"

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

// Counters since the engine was made.
struct EngineStats {
  std::int64_t compiles = 0;     // kernels compiled
  std::int64_t memory_hits = 0;  // found in the memory cache (or compiled meanwhile by another thread)
  std::int64_t disk_hits = 0;    // compiled by an earlier process
  std::size_t cached_kernels = 0;
  std::size_t cached_bytes = 0;
};

// Thread-safe: every member may be called from several threads at once. One key compiles once, however many threads ask. An
// engine that was moved from compiles nothing (`empty-handle`) and has default options.
class FLEXJIT_API Engine {
 public:
  explicit Engine(EngineOptions options = {});
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Parses, checks, lowers and compiles. Errors: every diagnostic of the text at once; `unsupported-target`; `no-compiler` for
  // a pattern that is in no cache where libflexjit-compiler cannot be opened. Lengths, batch, heads, strides and parameter
  // values are not part of the kernel: changing them never recompiles. The first call with few query rows compiles the
  // pattern's second kernel, once. The phases go into `trace`, if there is one.
  Result<Attention> compile(const AttentionSpec& spec, Trace* trace = nullptr);

  EngineStats stats() const;
  void clear_cache();  // handles that are alive keep their code
  const EngineOptions& options() const& noexcept;
  EngineOptions options() const&& { return options(); }

  struct Impl;  // lib/api
  Impl& impl() noexcept { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// All that is to be said about a spec, without compiling it: what compile() would refuse, and warnings (Severity::kWarning)
// about a text that means something, though hardly what was meant, as a definition that nothing reads. Thread-safe.
FLEXJIT_API Diagnostics check(const AttentionSpec& spec);

// What the target "host" stands for here, with the processor that code is tuned for: "x86-64-v4-bf16, tuned for znver4".
FLEXJIT_API std::string describe_host();

// A process-wide engine with default options, made on first use.
FLEXJIT_API Engine& default_engine();

}  // namespace flexjit
