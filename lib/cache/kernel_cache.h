// KernelKey -> loaded machine code, from memory or by compiling. One key compiles once, however many threads ask; a failure is
// reported to all who waited and is not kept. Evicted code stays mapped while a handle uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <list>
#include <memory>

#include "cache/code_memory.h"
#include "cache/gdb.h"
#include "cache/lru_map.h"
#include "flexjit/result.h"
#include "plan/compiler_door.h"
#include "plan/kernel_key.h"
#include "runtime/launch.h"
#include "support/fork_gate.h"

namespace flexjit::cache {

// A key and its hash, computed once a pattern. Shared, because a Program may be large.
struct HashedKey {
  explicit HashedKey(plan::KernelKey key);
  plan::KernelKey key;
  std::size_t hash;
};
using SharedKey = std::shared_ptr<const HashedKey>;

// The mapped code of one kernel and its entry points.
struct LoadedKernel {
  CodeMemory code;
  runtime::Kernel kernel;
  double compile_ms = 0;
  std::unique_ptr<DebuggerEntry> debugger{};  // null: no debug information
};
using SharedKernel = std::shared_ptr<const LoadedKernel>;

// Maps `image`, which was compiled from `key`. Throws std::system_error as CodeMemory does.
SharedKernel load_image(const plan::KernelKey& key, const plan::CodeImage& image);

struct CacheStats {
  std::int64_t hits = 0;
  std::size_t kernels = 0;
  std::size_t bytes = 0;
};

// Thread-safe.
class KernelCache {
 public:
  using Compile = std::function<Result<plan::CodeImage>(const plan::KernelKey&)>;
  struct Found {
    SharedKernel kernel;
    bool hit = false;  // no compilation by this call
  };

  explicit KernelCache(std::size_t capacity_bytes) : kernels_(capacity_bytes) {}

  // Null: not in memory.
  SharedKernel find(const SharedKey& key);
  // The kernel of `key`, compiled by the first caller that asks for it. What `compile` throws reaches every waiter.
  Result<Found> find_or_compile(const SharedKey& key, const Compile& compile);

  CacheStats stats() const;
  void clear();  // a compilation under way still finishes and is kept

 private:
  struct KeyHash {
    std::size_t operator()(const SharedKey& key) const { return key->hash; }
  };
  struct KeyEqual {
    bool operator()(const SharedKey& a, const SharedKey& b) const { return a == b || a->key == b->key; }
  };
  using Outcome = Result<SharedKernel>;
  struct Flight {
    SharedKey key;
    std::shared_future<Outcome> outcome;
  };

  Outcome compile_and_keep(const SharedKey& key, const Compile& compile);
  void land(const SharedKey& key);

  mutable support::Mutex mutex_;
  LruMap<SharedKey, SharedKernel, KeyHash, KeyEqual> kernels_;
  std::list<Flight> flights_;
  std::int64_t hits_ = 0;
};

}  // namespace flexjit::cache
