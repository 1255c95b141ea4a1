// The kernels of gradients beside a handle's own: one for each set of captured buffers whose gradients a call has wanted.
// Compiled at the first such call, then kept by the handle.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "cache/kernel_store.h"
#include "pattern/pattern.h"
#include "plan/sizes/backward.h"
#include "support/fork_gate.h"

namespace flexjit::engine {

// That of the kernel of gradients beside a prefill kernel. `buffers`: slots of those whose gradients are wanted.
plan::KernelKey gradient_key_of(const plan::KernelKey& prefill, const std::vector<std::uint32_t>& buffers);

class BackwardKernels {
 public:
  // `pattern` has a key.
  BackwardKernels(std::shared_ptr<const Pattern> pattern, std::shared_ptr<KernelStore> store)
      : pattern_(std::move(pattern)), store_(std::move(store)) {}

  struct Ready {
    cache::SharedKernel kernel;
    std::vector<plan::BufferSums> sums;
  };
  using Kernels = std::map<std::vector<std::uint32_t>, Ready>;  // by slots of the wanted buffers
  // Those that there are already, and no others: one of them has the gradients of all buffers that the score reads.
  explicit BackwardKernels(Kernels kernels) : kernels_(std::move(kernels)) {}

  // `buffers`: slots of the wanted ones, ascending. Of those that there are, the kernel may add to more. Thread-safe. A failure
  // is not kept: the next call tries again. `trace` may be null.
  Result<Ready> get(const std::vector<std::uint32_t>& buffers, Trace* trace);

 private:
  const Ready& given(const std::vector<std::uint32_t>& buffers) const;

  const std::shared_ptr<const Pattern> pattern_;  // null where the kernels were given, as the store
  const std::shared_ptr<KernelStore> store_;
  support::Mutex mutex_;  // guards kernels_
  Kernels kernels_;
};

}  // namespace flexjit::engine
