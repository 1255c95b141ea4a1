// Single flight: the first asker of a key registers a future and compiles outside the lock; the others wait for it.
#include "cache/kernel_cache.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "support/check.h"

namespace flexjit::cache {

HashedKey::HashedKey(plan::KernelKey k) : key(std::move(k)), hash(std::hash<std::string>{}(plan::canonical_text(key))) {}

SharedKernel load_image(const plan::KernelKey& key, const plan::CodeImage& image) {
  FLEXJIT_CHECK(std::ranges::max(image.entries) < image.bytes.size());
  FLEXJIT_CHECK(image.key_text == plan::canonical_text(key), image.key_text);
  CodeMemory code(image.bytes);
  runtime::Kernel kernel{.layout = plan::layout_of(key)};
#define FLEXJIT_ENTRY(of_nest, name, entry, type) \
  if (key.nest == plan::Nest::k##of_nest) kernel.entry = code.function<plan::type>(image.entries[plan::Entry::k##name]);
#include "plan/nests.def"
  LoadedKernel loaded{std::move(code), kernel, image.compile_ms};
  if (!image.debug_object.empty())
    loaded.debugger = std::make_unique<DebuggerEntry>(image.debug_object, loaded.code.function<const void*>(0));
  return std::make_shared<const LoadedKernel>(std::move(loaded));
}

SharedKernel KernelCache::find(const SharedKey& key) {
  std::lock_guard lock(mutex_);
  const SharedKernel* kernel = kernels_.find(key);
  if (kernel == nullptr) return nullptr;
  ++hits_;
  return *kernel;
}

Result<KernelCache::Found> KernelCache::find_or_compile(const SharedKey& key, const Compile& compile) {
  // A fork waits until what takes off has landed: its child would wait for that for ever.
  const support::Pass pass;
  std::promise<Outcome> promise;
  std::optional<std::shared_future<Outcome>> other;
  {
    std::lock_guard lock(mutex_);
    if (const SharedKernel* kernel = kernels_.find(key)) {
      ++hits_;
      return Found{*kernel, true};
    }
    for (const Flight& flight : flights_) {
      if (KeyEqual{}(flight.key, key)) other = flight.outcome;
    }
    if (!other) flights_.push_back({key, promise.get_future().share()});
  }
  if (other) {
    const Outcome& outcome = other->get();
    if (!outcome) return outcome.diagnostics();
    std::lock_guard lock(mutex_);
    ++hits_;
    return Found{*outcome, true};
  }
  try {
    Outcome outcome = compile_and_keep(key, compile);
    land(key);
    promise.set_value(outcome);
    if (!outcome) return outcome.diagnostics();
    return Found{*outcome, false};
  } catch (...) {
    land(key);
    promise.set_exception(std::current_exception());
    throw;
  }
}

KernelCache::Outcome KernelCache::compile_and_keep(const SharedKey& key, const Compile& compile) {
  Result<plan::CodeImage> image = compile(key->key);
  if (!image) return image.diagnostics();
  SharedKernel kernel = load_image(key->key, *image);
  std::lock_guard lock(mutex_);
  kernels_.insert(key, kernel, kernel->code.bytes());
  return kernel;
}

void KernelCache::land(const SharedKey& key) {
  std::lock_guard lock(mutex_);
  flights_.remove_if([&](const Flight& flight) { return flight.key == key; });
}

CacheStats KernelCache::stats() const {
  std::lock_guard lock(mutex_);
  return {.hits = hits_, .kernels = kernels_.size(), .bytes = kernels_.weight()};
}

void KernelCache::clear() {
  std::lock_guard lock(mutex_);
  kernels_.clear();
}

}  // namespace flexjit::cache
