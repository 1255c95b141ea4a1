// Patterns of built libraries: bundle -> handle at the first call, then the C arguments of a call -> Attention::run. Tiling and
// target of a kernel are taken from the bundle, not planned again: they belong to the code, wherever it was made.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "aot/arguments.h"
#include "aot/bundle.h"
#include "c/c_convert.h"
#include "c/c_handles.h"
#include "call/call.h"
#include "ir/passes/passes.h"
#include "plan/sizes/decode.h"
#include "support/fork_gate.h"
#include "support/large_stack.h"

namespace flexjit::engine {

namespace {

Diagnostics another_version(const flexjit_built& built, std::string_view call) {
  const std::string_view made_by = built.made_by != nullptr ? built.made_by : "?";
  // Between releases the sources differ where the number does not.
  return single_finding(call, Finding::kBuiltVersion, made_by, FLEXJIT_VERSION,
                        made_by == FLEXJIT_VERSION ? " of other sources" : "");
}

const aot::BundledKernel* find_kernel(const aot::Bundle& bundle, plan::Nest nest, const plan::Target& target) {
  const auto found = std::ranges::find_if(
      bundle.kernels, [&](const aot::BundledKernel& kernel) { return kernel.nest == nest && kernel.target == target; });
  return found != bundle.kernels.end() ? &*found : nullptr;
}

// The best of those that this machine executes; later ones are better (see BuiltLibrary::targets).
std::optional<plan::Target> best_target(const aot::Bundle& bundle) {
  std::optional<plan::Target> best;
  for (const aot::BundledKernel& kernel : bundle.kernels) {
    if (plan::can_execute(kernel.target)) best = kernel.target;
  }
  return best;
}

Diagnostics no_target(const aot::Bundle& bundle, std::string_view call) {
  std::vector<std::string> names;
  for (const aot::BundledKernel& kernel : bundle.kernels) {
    if (kernel.nest == plan::Nest::kPrefill) names.push_back(plan::name_of(kernel.target));
  }
  return single_finding(call, Finding::kBuiltTarget, fmt::format("{}", fmt::join(names, ", ")),
                        plan::name_of(plan::host_target()));
}

// `planned` with what the bundle's kernel was compiled with. Null where that is another kernel: the text lowers to another
// program in the version that built it.
cache::SharedKey key_of(plan::KernelKey planned, const aot::BundledKernel& kernel) {
  planned.tiling = kernel.tiling;
  planned.llvm_version = kernel.llvm_version;
  if (plan::canonical_text(planned) != kernel.image.key_text) return nullptr;
  return std::make_shared<const cache::HashedKey>(std::move(planned));
}

using Handle = std::shared_ptr<const Attention::Impl>;

// Those of the target; null: the library was built without. No value: one was compiled from another program.
std::optional<std::shared_ptr<BackwardKernels>> backward_kernels(const aot::Bundle& bundle, const plan::KernelKey& prefill) {
  BackwardKernels::Kernels kernels;
  for (const aot::BundledKernel& kernel : bundle.kernels) {
    if (kernel.nest != plan::Nest::kBackward || kernel.target != prefill.target) continue;
    const cache::SharedKey key = key_of(gradient_key_of(prefill, kernel.gradients), kernel);
    if (key == nullptr) return std::nullopt;
    kernels.emplace(kernel.gradients,
                    BackwardKernels::Ready{cache::load_image(key->key, kernel.image), plan::buffer_sums_of(key->key)});
  }
  return kernels.empty() ? nullptr : std::make_shared<BackwardKernels>(std::move(kernels));
}

Result<Handle> load(const flexjit_built& built, std::string_view call) {
  const std::span bytes(static_cast<const std::uint8_t*>(built.bundle), built.bundle_bytes);
  if (built.version != FLEXJIT_BUILT_VERSION || aot::origin_of(bytes) == aot::Origin::kAnotherVersion) {
    return another_version(built, call);
  }
  const std::optional<aot::Bundle> bundle = aot::from_bytes(bytes);
  if (!bundle) return single_finding(call, Finding::kBuiltDamaged);
  const std::optional<plan::Target> target = best_target(*bundle);
  if (!target) return no_target(*bundle, call);

  EngineOptions without_kernel;
  without_kernel.backend = Backend::kReference;
  const Result<std::shared_ptr<const Pattern>> prepared = prepare_pattern(bundle->spec, without_kernel, Purpose::kRun);
  if (!prepared) return prepared.diagnostics();
  const auto pattern = std::make_shared<Pattern>(**prepared);
  const aot::BundledKernel* prefill = find_kernel(*bundle, plan::Nest::kPrefill, *target);
  const aot::BundledKernel* decode = find_kernel(*bundle, plan::Nest::kDecode, *target);
  if (prefill == nullptr) return single_finding(call, Finding::kBuiltDamaged);
  pattern->key = key_of(prefill_key_of(*pattern, *target), *prefill);
  if (pattern->key == nullptr) return another_version(built, call);
  cache::SharedKernel decode_kernel;
  if (decode != nullptr) {
    const cache::SharedKey key = key_of(plan::decode_key_of(pattern->key->key), *decode);
    if (key == nullptr) return another_version(built, call);
    decode_kernel = cache::load_image(key->key, decode->image);
  }
  auto backward = backward_kernels(*bundle, pattern->key->key);
  if (!backward) return another_version(built, call);
  auto handle = make_handle(pattern, {.prefill = cache::load_image(pattern->key->key, prefill->image),
                                      .decode = std::make_shared<DecodeKernel>(pattern->key, std::move(decode_kernel)),
                                      .backward = *std::move(backward)});
  handle->source = KernelSource::kBuilt;
  return Handle(std::move(handle));
}

// The handles of all libraries live as long as the process, so that no call at its end meets one that is gone. The pointer in
// the library is the only way to one; a library that is closed and opened again has a fresh one.
Result<Handle> loaded(flexjit_built& built, std::string_view call) {
  static support::Mutex& mutex = *new support::Mutex;
  static std::set<std::unique_ptr<Handle>>& handles = *new std::set<std::unique_ptr<Handle>>;
  const std::atomic_ref<void*> slot(built.loaded);
  if (const void* handle = slot.load(std::memory_order_acquire)) return *static_cast<const Handle*>(handle);
  return support::on_large_stack([&]() -> Result<Handle> {
    const std::lock_guard lock(mutex);
    if (const void* handle = slot.load(std::memory_order_relaxed)) return *static_cast<const Handle*>(handle);
    Result<Handle> handle = load(built, call);
    if (!handle) return handle;
    const auto& kept = *handles.insert(std::make_unique<Handle>(*handle)).first;
    slot.store(kept.get(), std::memory_order_release);
    return handle;
  });
}

Handle with_threads(const Handle& handle, std::int32_t threads) {
  if (threads == handle->threads) return handle;
  auto other = std::make_shared<Attention::Impl>(*handle);
  other->threads = threads;
  return other;
}

// The caller's struct, of the size that its header gave it.
std::optional<std::span<const std::uint8_t>> struct_at(const void* given, std::size_t wanted, const char* name,
                                                       const char* init, Report& report) {
  std::size_t size = 0;
  std::memcpy(&size, given, sizeof(size));
  if (size == wanted) return std::span(static_cast<const std::uint8_t*>(given), wanted);
  report.add(Finding::kStructSize, name, size, wanted, init);
  return std::nullopt;
}

// One call of a built pattern, as `args` say it.
struct BuiltCall {
  Handle handle;
  aot::Arguments arguments;

  Attention attention() const { return Attention(with_threads(handle, arguments.threads)); }
};

Result<BuiltCall> read_call(flexjit_built& built, const void* args, Report& report) {
  Result<Handle> handle = loaded(built, report.call());
  if (!handle) return handle.diagnostics();
  const ir::Interface& interface = (*handle)->pattern->interface;
  const auto bytes = struct_at(args, aot::layout_of(interface).bytes, "the pattern's _args", "its _args", report);
  if (!bytes) return report.take();
  BuiltCall call{*std::move(handle), aot::read_arguments(interface, *bytes)};
  check_threads("threads", call.arguments.threads, report);
  if (!report.empty()) return report.take();
  call.arguments.run.bindings = {call.arguments.buffers.data(), call.arguments.buffers.size(), call.arguments.params.data(),
                                 call.arguments.params.size()};
  return call;
}

Status run_built(flexjit_built& built, const void* args, Report& report) {
  const Result<BuiltCall> call = read_call(built, args, report);
  if (!call) return call.diagnostics();
  const Attention attention = call->attention();
  return run_with([&](const RunArgs& run) { return attention.run(run); }, &call->arguments.run, nullptr, report);
}

Status run_built_backward(flexjit_built& built, const void* args, const void* gradients, Report& report) {
  const Result<BuiltCall> call = read_call(built, args, report);
  if (!call) return call.diagnostics();
  const Pattern& pattern = *call->handle->pattern;
  const std::vector<std::uint32_t> slots = ir::differentiable_buffers(pattern.program);
  const auto bytes = struct_at(gradients, aot::gradient_bytes(slots), "the pattern's _gradients", "its _gradients", report);
  if (!bytes) return report.take();
  aot::GivenGradients given = aot::read_gradients(pattern.interface, slots, *bytes);
  given.head.buffers = given.buffers.data();
  given.head.buffer_count = given.buffers.size();
  const Gradients wanted = to_gradients(given.head, report);
  if (!report.empty()) return report.take();
  const Attention attention = call->attention();
  return run_with([&](const RunArgs& run) { return run_backward(attention, run, wanted); }, &call->arguments.run, nullptr,
                  report);
}

}  // namespace

}  // namespace flexjit::engine

using flexjit::Status;
using flexjit::engine::Report;

flexjit_status flexjit_built_run(flexjit_built* pattern, const void* args, flexjit_error** error) {
  return flexjit::engine::c_call("run", error, [&](Report& report) -> Status {
    flexjit::engine::require(pattern, "pattern", report);
    flexjit::engine::require(args, "args", report);
    if (!report.empty()) return report.take();
    return flexjit::engine::run_built(*pattern, args, report);
  });
}

flexjit_status flexjit_built_run_backward(flexjit_built* pattern, const void* args, const void* gradients,
                                          flexjit_error** error) {
  return flexjit::engine::c_call("run_backward", error, [&](Report& report) -> Status {
    flexjit::engine::require(pattern, "pattern", report);
    flexjit::engine::require(args, "args", report);
    flexjit::engine::require(gradients, "gradients", report);
    if (!report.empty()) return report.take();
    return flexjit::engine::run_built_backward(*pattern, args, gradients, report);
  });
}

flexjit_status flexjit_built_attention(flexjit_built* pattern, flexjit_attention** attention, flexjit_error** error) {
  return flexjit::engine::c_call("attention", error, [&](Report& report) -> Status {
    flexjit::engine::require(pattern, "pattern", report);
    flexjit::engine::require(attention, "attention", report);
    if (!report.empty()) return report.take();
    const flexjit::Result<flexjit::engine::Handle> handle = flexjit::engine::loaded(*pattern, report.call());
    if (!handle) return handle.diagnostics();
    *attention = new flexjit_attention{flexjit::Attention(*handle)};
    return flexjit::Unit{};
  });
}
