// The kernels of gradients of linear weights beside a handle's own: compiled at the first backward pass, then kept.
#pragma once

#include <memory>
#include <optional>

#include "cache/kernel_store.h"
#include "pattern/pattern.h"
#include "support/fork_gate.h"

namespace flexjit::engine {

class LinearKernels {
 public:
  // `pattern` has a key.
  LinearKernels(std::shared_ptr<const Pattern> pattern, std::shared_ptr<KernelStore> store)
      : pattern_(std::move(pattern)), store_(std::move(store)) {}

  // See runtime/linear/backward.h.
  struct Ready {
    cache::SharedKernel rows, to_features, to_values, to_sums;
  };
  // Thread-safe. A failure is not kept: the next call tries again. `trace` may be null.
  Result<Ready> get(Trace* trace);

 private:
  Result<cache::SharedKernel> find(plan::KernelKey key, Trace* trace);

  const std::shared_ptr<const Pattern> pattern_;
  const std::shared_ptr<KernelStore> store_;
  support::Mutex mutex_;  // guards ready_
  std::optional<Ready> ready_;
};

}  // namespace flexjit::engine
