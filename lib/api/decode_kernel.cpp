// Which calls decode, and the key of the kernel that serves them.
#include "api/decode_kernel.h"

#include "plan/decode.h"

namespace flexjit::api {

namespace {

// Up to here reading keys and values as they lie costs less than packing them for tiles of many rows.
constexpr std::int32_t kMaxQueries = 4;
constexpr std::int32_t kMaxRows = 32;

}  // namespace

bool DecodeKernel::suits(std::int32_t group, std::int32_t q_len, std::int32_t kv_len) const {
  if (!plan::can_decode(prefill_->key.types) || kv_len < 1) return false;
  return q_len <= kMaxQueries || q_len * std::int64_t{group} <= kMaxRows;
}

Result<DecodeKernel::Ready> DecodeKernel::get(Trace* trace) {
  const plan::KernelKey& key = prefill_->key;
  {
    const std::lock_guard lock(mutex_);
    if (kernel_ != nullptr) return Ready{kernel_, key.types, key.weights};
  }
  plan::KernelRequest request;
  request.program = key.program;
  request.nest = plan::Nest::kDecode;
  request.types = key.types;
  request.weights = key.weights;
  request.head_dim = key.head_dim;
  request.v_head_dim = key.v_head_dim;
  plan::KernelKey wanted = plan::plan_kernel(std::move(request), key.target);
  wanted.debug = key.debug;  // of the same program
  const auto decode_key = std::make_shared<const cache::HashedKey>(std::move(wanted));
  Result<KernelStore::Found> found = store_->find_or_compile(decode_key, name_, trace);
  if (!found) return found.diagnostics();
  const std::lock_guard lock(mutex_);
  kernel_ = found->kernel;
  return Ready{kernel_, key.types, key.weights};
}

}  // namespace flexjit::api
