// Where kernels come from: the cache in front of the compiler. Shared by an engine and its handles, because a handle may need
// another kernel after its engine is gone.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "api/compiler.h"
#include "cache/kernel_cache.h"

namespace flexjit::api {

// Thread-safe.
class KernelStore {
 public:
  KernelStore(std::size_t cache_bytes, std::string compiler_path) : cache_(cache_bytes), compiler_(std::move(compiler_path)) {}

  Result<cache::KernelCache::Found> find_or_compile(const cache::SharedKey& key) {
    return cache_.find_or_compile(key, [this](const plan::KernelKey& wanted) -> Result<plan::CodeImage> {
      Result<const plan::CompilerDoor*> door = open_compiler(compiler_);
      if (!door) return door.diagnostics();
      return (*door)->compile(wanted);
    });
  }

  cache::CacheStats stats() const { return cache_.stats(); }
  void clear() { cache_.clear(); }

 private:
  cache::KernelCache cache_;
  cache::CompilerLoader compiler_;
};

}  // namespace flexjit::api
