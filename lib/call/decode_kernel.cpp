// Which calls decode, and the kernel that serves them.
#include "call/decode_kernel.h"

#include <algorithm>

#include "plan/sizes/decode.h"

namespace flexjit::engine {

namespace {

// Up to here reading keys and values as they lie costs less than packing them for tiles of many rows.
constexpr std::int32_t kMaxQueries = 4;
constexpr std::int32_t kMaxRows = 32;

}  // namespace

bool suits_decode(const plan::ElementTypes& types, std::int32_t group, std::int32_t q_len, std::int32_t kv_len) {
  if (!plan::can_decode(types) || kv_len < 1) return false;
  return q_len <= kMaxQueries || q_len * std::int64_t{group} <= kMaxRows;
}

bool suits_decode(const plan::ElementTypes& types, const BlockMaskOptions& call) {
  const std::int32_t group = call.kv_heads > 0 ? std::max(call.heads / call.kv_heads, 1) : 1;
  return suits_decode(types, group, call.q_len, call.kv_len);
}

Result<DecodeKernel::Ready> DecodeKernel::get(Trace* trace) {
  const plan::KernelKey& key = prefill_->key;
  {
    const std::lock_guard lock(mutex_);
    if (kernel_ != nullptr) return Ready{kernel_, key.types, key.weights};
  }
  const auto decode_key = std::make_shared<const cache::HashedKey>(plan::decode_key_of(key));
  Result<KernelStore::Found> found = store_->find_or_compile(decode_key, name_, trace);
  if (!found) return found.diagnostics();
  const std::lock_guard lock(mutex_);
  kernel_ = found->kernel;
  return Ready{kernel_, key.types, key.weights};
}

}  // namespace flexjit::engine
