// Engine: spec -> pattern (remembered by spec) -> kernel (remembered by key) -> handle. The two maps are separate because many
// specs share one kernel, and because a spec seen before must not be parsed again.
#include "flexjit/engine.h"

#include <cstdlib>
#include <mutex>
#include <utility>

#include "cache/kernel_store.h"
#include "call/call.h"
#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "flexjit/shards.h"
#include "pattern/shard.h"
#include "support/fork_gate.h"
#include "support/large_stack.h"

namespace flexjit {

namespace {

// A remembered pattern costs a few kilobytes; programs use a handful, and generated texts must not grow without bound.
constexpr std::size_t kMaxPatterns = 1024;
// Each holds its kernels, which the kernel cache may have forgotten.
constexpr std::size_t kMaxHandles = 128;

using SharedPattern = std::shared_ptr<const engine::Pattern>;

// Of the environment; none in a program that runs with more rights than its user has, who could name files with them.
const char* find_variable(const char* name) { return ::secure_getenv(name); }

std::string variable(const char* name) {
  const char* value = find_variable(name);
  return value != nullptr ? value : "";
}

bool is_set(const char* name) {
  const std::string text = variable(name);
  return !text.empty() && text != "0";
}

}  // namespace

struct Engine::Impl {
  explicit Impl(EngineOptions given)
      : options(std::move(given)),
        kernels(std::make_shared<engine::KernelStore>(options)),
        patterns(kMaxPatterns),
        handles(kMaxHandles) {}

  Result<Attention> compile(const AttentionSpec& spec, Trace* trace);
  Result<Attention> compile_once(const AttentionSpec& spec);
  Result<Attention> compile_shard(const AttentionSpec& spec);
  Result<Attention> handle_of(const SharedPattern& pattern, Trace* trace);
  Result<SharedPattern> find_or_prepare(const AttentionSpec& spec, Trace* trace);

  EngineOptions options;
  std::shared_ptr<engine::KernelStore> kernels;
  support::Mutex mutex;  // guards what follows
  cache::LruMap<AttentionSpec, SharedPattern, engine::SpecHash, engine::SpecEqual> patterns;
  cache::LruMap<AttentionSpec, Attention, engine::SpecHash, engine::SpecEqual> handles;
};

Result<SharedPattern> Engine::Impl::find_or_prepare(const AttentionSpec& spec, Trace* trace) {
  const runtime::TracedPhase phase(trace, TraceKind::kFrontEnd);
  {
    std::lock_guard lock(mutex);
    if (const SharedPattern* pattern = patterns.find(spec)) return *pattern;
  }
  Result<SharedPattern> pattern =
      support::on_large_stack([&] { return engine::prepare_pattern(spec, options, engine::Purpose::kRun); });
  if (pattern) {
    std::lock_guard lock(mutex);
    patterns.insert(spec, *pattern, 1);
  }
  return pattern;
}

Result<Attention> Engine::Impl::compile(const AttentionSpec& spec, Trace* trace) {
  Result<SharedPattern> pattern = find_or_prepare(spec, trace);
  return pattern ? handle_of(*pattern, trace) : pattern.diagnostics();
}

Result<Attention> Engine::Impl::compile_shard(const AttentionSpec& spec) {
  const Result<SharedPattern> pattern = support::on_large_stack([&] { return engine::prepare_shard_pattern(spec, options); });
  return pattern ? handle_of(*pattern, nullptr) : pattern.diagnostics();
}

Result<Attention> Engine::Impl::handle_of(const SharedPattern& pattern, Trace* trace) {
  const auto made = [&](engine::HandleKernels with) {
    auto handle = engine::make_handle(pattern, std::move(with));
    handle->threads = options.threads;
    handle->backend = options.backend;
    return handle;
  };
  if (pattern->key == nullptr) return Attention(made({}));
  Result<engine::KernelStore::Found> found = kernels->find_or_compile(pattern->key, pattern->name, trace);
  if (!found) {
    auto without_kernel = made({});
    if (!without_kernel->may_lack_compiler(found.diagnostics())) return found.diagnostics();
    return Attention(std::move(without_kernel));
  }
  engine::HandleKernels with{.prefill = found->kernel};
  if (pattern->linear) {
    with.linear = std::make_shared<engine::LinearKernels>(pattern, kernels);
  } else {
    with.decode = std::make_shared<engine::DecodeKernel>(pattern->key, pattern->name, kernels);
    with.backward = std::make_shared<engine::BackwardKernels>(pattern, kernels);
  }
  auto handle = made(std::move(with));
  handle->source = found->source;
  handle->compile_ms = found->source == KernelSource::kCompiled ? found->kernel->compile_ms : 0;
  return Attention(std::move(handle));
}

Result<Attention> Engine::Impl::compile_once(const AttentionSpec& spec) {
  {
    std::lock_guard lock(mutex);
    if (const Attention* found = handles.find(spec)) return *found;
  }
  Result<Attention> made = compile(spec, nullptr);
  if (made) {
    std::lock_guard lock(mutex);
    if (const Attention* found = handles.find(spec)) return *found;  // of another thread, meanwhile
    handles.insert(spec, *made, 1);
  }
  return made;
}

std::string EngineOptions::default_cache_dir() {
  if (find_variable("FLEXJIT_CACHE_DIR") != nullptr) return variable("FLEXJIT_CACHE_DIR");
  if (const std::string base = variable("XDG_CACHE_HOME"); base.starts_with('/')) return base + "/flexjit";
  if (const std::string home = variable("HOME"); home.starts_with('/')) return home + "/.cache/flexjit";
  return {};
}

std::string EngineOptions::default_perf() { return variable("FLEXJIT_PERF"); }

bool EngineOptions::default_gdb() { return is_set("FLEXJIT_GDB"); }

Backend EngineOptions::default_backend() { return !is_set("FLEXJIT_REFERENCE") ? Backend::kCompiled : Backend::kReference; }

Engine::Engine(EngineOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

namespace {

Diagnostics empty_engine() {
  return engine::single_finding("compile", engine::Finding::kEmptyHandle, "engine", "make another one");
}

}  // namespace

Result<Attention> Engine::compile(const AttentionSpec& spec, Trace* trace) {
  return engine::guarded("compile", [&]() -> Result<Attention> {
    if (impl_ == nullptr) return empty_engine();
    return impl_->compile(spec, trace);
  });
}

Result<Attention> Engine::compile_once(const AttentionSpec& spec) {
  return engine::guarded("compile", [&]() -> Result<Attention> {
    if (impl_ == nullptr) return empty_engine();
    return impl_->compile_once(spec);
  });
}

Result<Attention> compile_shard(Engine& engine, const AttentionSpec& spec) {
  return engine::guarded("compile", [&]() -> Result<Attention> {
    if (engine.empty()) return empty_engine();
    return engine.impl().compile_shard(spec);
  });
}

EngineStats Engine::stats() const { return impl_ != nullptr ? impl_->kernels->stats() : EngineStats{}; }

void Engine::clear_cache() {
  if (impl_ == nullptr) return;
  impl_->kernels->clear();
  std::lock_guard lock(impl_->mutex);
  impl_->patterns.clear();
  impl_->handles.clear();
}

const EngineOptions& Engine::options() const& noexcept {
  static const EngineOptions none;
  return impl_ != nullptr ? impl_->options : none;
}

Diagnostics check(const AttentionSpec& spec) {
  const Result<SharedPattern> pattern = engine::guarded_on_large_stack("check", [&] {
    EngineOptions options;
    options.backend = Backend::kReference;
    return engine::prepare_pattern(spec, options, engine::Purpose::kShow);
  });
  return pattern ? (*pattern)->warnings : pattern.diagnostics();
}

std::string describe_host() {
  const plan::Target host = plan::host_target();
  return plan::name_of(host) + (host.tuning.empty() ? "" : ", tuned for " + host.tuning);
}

Engine& default_engine() {
  static Engine engine;
  return engine;
}

}  // namespace flexjit
