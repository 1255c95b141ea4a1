// A pattern's program -> its derivative, simplified -> the key of a backward kernel -> the kernel.
#include "call/backward_kernels.h"

#include "ir/passes/passes.h"
#include "support/check.h"

namespace flexjit::engine {

plan::KernelKey gradient_key_of(const Pattern& pattern, const std::vector<std::uint32_t>& buffers) {
  return plan::backward_key_of(pattern.key->key, ir::simplify(ir::differentiate(pattern.program, buffers)));
}

Result<BackwardKernels::Ready> BackwardKernels::get(const std::vector<std::uint32_t>& buffers, Trace* trace) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = kernels_.find(buffers); found != kernels_.end()) return found->second;
  }
  FLEXJIT_CHECK(store_ != nullptr, "kernels that were given are those that are asked for");
  const auto key = std::make_shared<const cache::HashedKey>(gradient_key_of(*pattern_, buffers));
  Result<KernelStore::Found> found = store_->find_or_compile(key, pattern_->name, trace);
  if (!found) return found.diagnostics();
  const std::lock_guard lock(mutex_);
  return kernels_.emplace(buffers, Ready{found->kernel, plan::buffer_sums_of(key->key)}).first->second;
}

}  // namespace flexjit::engine
