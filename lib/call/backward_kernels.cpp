// A pattern's program -> its derivative, simplified -> the key of a backward kernel -> the kernel.
#include "call/backward_kernels.h"

#include <algorithm>
#include <iterator>

#include "ir/passes/passes.h"
#include "support/check.h"

namespace flexjit::engine {

plan::KernelKey gradient_key_of(const plan::KernelKey& prefill, const std::vector<std::uint32_t>& buffers) {
  return plan::backward_key_of(prefill, ir::simplify(ir::differentiate(prefill.program, buffers)));
}

// The one with the fewest that has all of them; a buffer that none has is one that the score does not read.
const BackwardKernels::Ready& BackwardKernels::given(const std::vector<std::uint32_t>& buffers) const {
  const auto by_size = [](const auto& a, const auto& b) { return a.first.size() < b.first.size(); };
  const auto all = std::ranges::max_element(kernels_, by_size);
  FLEXJIT_CHECK(all != kernels_.end(), "kernels are given");
  std::vector<std::uint32_t> needed;
  std::ranges::set_intersection(buffers, all->first, std::back_inserter(needed));
  const std::pair<const std::vector<std::uint32_t>, Ready>* least = &*all;
  for (const auto& kernel : kernels_)
    if (std::ranges::includes(kernel.first, needed) && by_size(kernel, *least)) least = &kernel;
  return least->second;
}

Result<BackwardKernels::Ready> BackwardKernels::get(const std::vector<std::uint32_t>& buffers, Trace* trace) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = kernels_.find(buffers); found != kernels_.end()) return found->second;
  }
  if (store_ == nullptr) return given(buffers);
  const auto key = std::make_shared<const cache::HashedKey>(gradient_key_of(pattern_->key->key, buffers));
  Result<KernelStore::Found> found = store_->find_or_compile(key, pattern_->name, trace);
  if (!found) return found.diagnostics();
  const std::lock_guard lock(mutex_);
  return kernels_.emplace(buffers, Ready{found->kernel, plan::buffer_sums_of(key->key)}).first->second;
}

}  // namespace flexjit::engine
