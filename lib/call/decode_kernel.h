// The kernel for few query rows, beside a handle's own: compiled at the first call that takes it, then kept by the handle, so
// that no later call waits for a compilation, whatever its lengths.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "cache/kernel_store.h"
#include "flexjit/attention.h"
#include "plan/kernel_key.h"
#include "support/fork_gate.h"

namespace flexjit::engine {

// Whether the decode nest is the faster one for calls of these sizes. `group`: query heads that share a kv head, at least 1.
bool suits_decode(const plan::ElementTypes& types, std::int32_t group, std::int32_t q_len, std::int32_t kv_len);

bool suits_decode(const plan::ElementTypes& types, const BlockMaskOptions& call);

class DecodeKernel {
 public:
  // `prefill` is the key of the pattern's own kernel, from which the decode kernel's follows.
  // `name` is the pattern's, for profilers.
  DecodeKernel(cache::SharedKey prefill, std::string name, std::shared_ptr<KernelStore> store)
      : prefill_(std::move(prefill)), name_(std::move(name)), store_(std::move(store)) {}
  // With a kernel that there is already; null where the element types have none.
  DecodeKernel(cache::SharedKey prefill, cache::SharedKernel kernel)
      : prefill_(std::move(prefill)), kernel_(std::move(kernel)) {}

  struct Ready {
    cache::SharedKernel kernel;
    plan::ElementTypes types;
    plan::Weights weights;
  };
  // Thread-safe. A failure is not kept: the next call tries again. `trace` may be null.
  Result<Ready> get(Trace* trace);

 private:
  const cache::SharedKey prefill_;
  const std::string name_;
  const std::shared_ptr<KernelStore> store_;  // null where kernel_ was given
  support::Mutex mutex_;                      // guards kernel_
  cache::SharedKernel kernel_;
};

}  // namespace flexjit::engine
