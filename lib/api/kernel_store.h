// Where kernels come from: memory, disk, and last the compiler, which is opened only when both have nothing. Shared by an
// engine and its handles, because a handle may need another kernel after its engine is gone.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <utility>

#include "api/compiler.h"
#include "cache/disk_cache.h"
#include "cache/kernel_cache.h"
#include "flexjit/engine.h"

namespace flexjit::api {

// Thread-safe.
class KernelStore {
 public:
  struct Found {
    cache::SharedKernel kernel;
    KernelSource source = KernelSource::kCompiled;
  };

  explicit KernelStore(const EngineOptions& options)
      : cache_(options.cache_bytes),
        disk_(options.cache_dir, static_cast<std::int64_t>(options.disk_cache_bytes)),
        compiler_(options.compiler_path) {}

  Result<Found> find_or_compile(const cache::SharedKey& key) {
    KernelSource made = KernelSource::kCompiled;
    const auto found = cache_.find_or_compile(key, [&](const plan::KernelKey& wanted) -> Result<plan::CodeImage> {
      if (auto image = disk_.load(plan::canonical_text(wanted))) {
        made = KernelSource::kDisk;
        ++disk_hits_;
        return *std::move(image);
      }
      return compile(wanted);
    });
    if (!found) return found.diagnostics();
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
  Result<plan::CodeImage> compile(const plan::KernelKey& key) {
    Result<const plan::CompilerDoor*> door = open_compiler(compiler_, searched());
    if (!door) return door.diagnostics();
    Result<plan::CodeImage> image = (*door)->compile(key);
    if (!image) return image;
    ++compiles_;
    disk_.store(*image);
    return image;
  }

  // What a caller without a compiler may want to know of the cache on disk.
  std::string searched() const {
    if (disk_.directory().empty()) return {};
    const std::string problem = disk_.problem();
    return "\n  " + disk_.directory() + ": " + (problem.empty() ? "no kernel of this pattern" : "not used, " + problem);
  }

  cache::KernelCache cache_;
  cache::DiskCache disk_;
  cache::CompilerLoader compiler_;
  std::atomic<std::int64_t> compiles_ = 0, disk_hits_ = 0;
};

}  // namespace flexjit::api
