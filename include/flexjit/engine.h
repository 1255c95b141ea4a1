// The engine owns the compiler's door, the kernel cache and the thread count.
#pragma once

#include <memory>
#include <string>

#include "flexjit/attention.h"
#include "flexjit/engine_options.h"

namespace flexjit {

// Thread-safe: every member may be called from several threads at once. One key compiles once, however many threads ask. An
// engine that was moved from compiles nothing (`empty-handle`) and has default options.
class FLEXJIT_API Engine {
 public:
  explicit Engine(EngineOptions options = {});
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  // Parses, checks, lowers and compiles. Errors: every diagnostic of the text at once; `unsupported-target`; `no-compiler` for
  // a pattern that is in no cache where libflexjit-compiler cannot be opened. Lengths, batch, heads, strides and parameter
  // values are not part of the kernel: changing them never recompiles. The first call with few query rows compiles the
  // pattern's second kernel, once. The phases go into `trace`, if there is one.
  Result<Attention> compile(const AttentionSpec& spec, Trace* trace = nullptr);

  // The handle that this engine made for such a spec before, or a new one: for calls that bring their pattern each time. It
  // keeps what a handle learns (derived masks, the kernel that it decodes with), so that a call which came before compiles and
  // derives nothing. Errors as above.
  Result<Attention> compile_once(const AttentionSpec& spec);

  EngineStats stats() const;
  void clear_cache();  // handles that are alive keep their code
  const EngineOptions& options() const& noexcept;
  EngineOptions options() const&& { return options(); }

  bool empty() const noexcept { return impl_ == nullptr; }  // it was moved from

  struct Impl;  // lib/engine
  Impl& impl() noexcept { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// All that is to be said about a spec, without compiling it: what compile() would refuse, and warnings (Severity::kWarning)
// about a text that means something, though hardly what was meant, as a definition that nothing reads. Thread-safe.
FLEXJIT_API Diagnostics check(const AttentionSpec& spec);

// What the target "host" stands for here, with the processor that code is tuned for: "x86-64-v4-bf16, tuned for znver4".
FLEXJIT_API std::string describe_host();

// A process-wide engine with default options, made on first use.
FLEXJIT_API Engine& default_engine();

}  // namespace flexjit
