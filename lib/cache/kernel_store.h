// Where kernels come from: memory, disk, and last the compiler, which is opened only when both have nothing. Shared by an
// engine and its handles, because a handle may need another kernel after its engine is gone.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cache/compiler.h"
#include "cache/disk_cache.h"
#include "cache/kernel_cache.h"
#include "cache/perf.h"
#include "flexjit/engine_options.h"
#include "runtime/traced.h"
#include "support/large_stack.h"

namespace flexjit::engine {

// Thread-safe.
class KernelStore {
 public:
  struct Found {
    cache::SharedKernel kernel;
    KernelSource source = KernelSource::kCompiled;
  };

  explicit KernelStore(const EngineOptions& options)
      : cache_(options.cache_bytes),
        disk_(options.cache_dir, static_cast<std::int64_t>(std::min(options.disk_cache_bytes, kMostBytes))),
        compiler_(options.compiler_path),
        perf_(cache::parse_perf(options.perf).value_or(cache::Perf::kOff)) {}

  // `name` is that of the pattern, for profilers; a kernel keeps the name with which it was found first. `trace` may be null.
  Result<Found> find_or_compile(const cache::SharedKey& key, std::string_view name, Trace* trace) {
    cache::prepare_perf(perf_);
    if (cache::SharedKernel kernel = cache_.find(key)) return Found{std::move(kernel), KernelSource::kMemory};
    KernelSource made = KernelSource::kCompiled;
    const auto make = [&](const plan::KernelKey& wanted) -> Result<plan::CodeImage> {
      if (auto image = look_up(wanted, trace)) {
        made = KernelSource::kDisk;
        ++disk_hits_;
        return *std::move(image);
      }
      return compile(wanted, trace);
    };
    const auto found = support::on_large_stack([&] { return cache_.find_or_compile(key, make); });
    if (!found) return found.diagnostics();
    if (!found->hit && perf_ != cache::Perf::kOff) announce(perf_, symbols_of(*found->kernel, key->key, name));
    return Found{found->kernel, found->hit ? KernelSource::kMemory : made};
  }

  EngineStats stats() const {
    const cache::CacheStats cached = cache_.stats();
    return {.compiles = compiles_,
            .memory_hits = cached.hits,
            .disk_hits = disk_hits_,
            .cached_kernels = cached.kernels,
            .cached_bytes = cached.bytes};
  }
  void clear() { cache_.clear(); }

 private:
  std::optional<plan::CodeImage> look_up(const plan::KernelKey& key, Trace* trace) {
    if (key.debug) return std::nullopt;  // files do not hold what a debugger reads
    const runtime::TracedPhase phase(trace, TraceKind::kDiskLookUp);
    return disk_.load(plan::canonical_text(key));
  }

  Result<plan::CodeImage> compile(const plan::KernelKey& key, Trace* trace) {
    const Result<const plan::CompilerDoor*> door = [&] {
      const runtime::TracedPhase phase(trace, TraceKind::kOpenCompiler);
      return open_compiler(compiler_, searched());
    }();
    if (!door) return door.diagnostics();
    Result<plan::CodeImage> image = [&] {
      const runtime::TracedPhase phase(trace, TraceKind::kCompile);
      return (*door)->compile(key);
    }();
    if (!image) return image;
    ++compiles_;
    if (!key.debug) disk_.store(*image);
    return image;
  }

  // What a caller without a compiler may want to know of the cache on disk.
  std::string searched() const {
    if (disk_.directory().empty()) return {};
    const std::string problem = disk_.problem();
    return "\n  " + disk_.directory() + ": " + (problem.empty() ? "no kernel of this pattern" : "not used, " + problem);
  }

  static constexpr std::size_t kMostBytes = std::numeric_limits<std::int64_t>::max();

  cache::KernelCache cache_;
  cache::DiskCache disk_;
  cache::CompilerLoader compiler_;
  const cache::Perf perf_;
  std::atomic<std::int64_t> compiles_ = 0, disk_hits_ = 0;
};

}  // namespace flexjit::engine
