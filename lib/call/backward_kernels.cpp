// A pattern's program -> its derivative, simplified -> the key of a backward kernel -> the kernel.
#include "call/backward_kernels.h"

#include "ir/passes/passes.h"

namespace flexjit::engine {

Result<BackwardKernels::Ready> BackwardKernels::get(const std::vector<std::uint32_t>& buffers, Trace* trace) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = kernels_.find(buffers); found != kernels_.end()) return found->second;
  }
  ir::Program gradient = ir::simplify(ir::differentiate(pattern_->program, buffers));
  const auto key = std::make_shared<const cache::HashedKey>(plan::backward_key_of(pattern_->key->key, std::move(gradient)));
  Result<KernelStore::Found> found = store_->find_or_compile(key, pattern_->name, trace);
  if (!found) return found.diagnostics();
  const std::lock_guard lock(mutex_);
  return kernels_.emplace(buffers, Ready{found->kernel, plan::buffer_sums_of(key->key)}).first->second;
}

}  // namespace flexjit::engine
