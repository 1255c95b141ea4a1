// What every entry of a compiled pattern shares: one call checked and bound, its launch arguments, and its faults as text.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "cache/compiler.h"
#include "call/backward_kernels.h"
#include "call/decode_kernel.h"
#include "call/derived_mask.h"
#include "call/linear/linear_kernels.h"
#include "call/sequences.h"
#include "call/validate.h"
#include "flexjit/attention.h"
#include "ir/evaluate/interpreter.h"
#include "pattern/pattern.h"
#include "plan/operands.h"

namespace flexjit {

struct Attention::Impl {
  std::shared_ptr<const engine::Pattern> pattern;
  Backend backend = Backend::kReference;              // as the engine was asked for
  cache::SharedKernel kernel;                         // null: the reference computes all
  std::shared_ptr<engine::DecodeKernel> decode;       // null with the kernel
  std::shared_ptr<engine::BackwardKernels> backward;  // null with the kernel, and of libraries built without
  std::shared_ptr<engine::DerivedMask> derived;       // null with the kernel
  std::shared_ptr<engine::LinearKernels> linear;      // of linear weights alone, which have neither of the two before
  KernelSource source = KernelSource::kReference;
  double compile_ms = 0;
  int threads = 0;                       // as EngineOptions::threads
  std::int64_t* block_counts = nullptr;  // where a counting kernel counts

  // Whether the caller allowed to go on without a kernel that failed for this reason.
  bool may_lack_compiler(const Diagnostics& failure) const {
    return backend == Backend::kCompiledOrReference && engine::lacks_compiler(failure);
  }
};

namespace engine {

// A handle that runs one call after the other: the only way to make one. Without a kernel the reference computes all.
struct HandleKernels {
  cache::SharedKernel prefill{};
  std::shared_ptr<DecodeKernel> decode{};
  std::shared_ptr<BackwardKernels> backward{};
  std::shared_ptr<LinearKernels> linear{};
};
std::shared_ptr<Attention::Impl> make_handle(std::shared_ptr<const Pattern> pattern, HandleKernels kernels);

// The tensors of a call that passed all checks.
struct Call {
  CallShape shape;
  Bound bound;
  const BlockMask* block_mask = nullptr;  // as given
  std::vector<plan::Sequence> sequences{};
  std::int32_t page_size = 0;                // 0: no pages
  std::span<const BlockMask> block_masks{};  // by sequence, or none
  plan::RotaryArg rotary{};

  // True when the output has no row, so that there is nothing to compute or to write.
  bool has_no_rows() const { return shape.batch == 0 || shape.q_heads == 0 || shape.q_len == 0; }
  // What the pattern sees of one of `sequences`.
  ir::Environment environment_of(const plan::Sequence& sequence) const;
  // As given; null: none.
  const BlockMask* mask_of(const plan::Sequence& sequence) const;
};

// Of a plan: what check_call found out about sequences.
struct Planned {
  CallShape shape{};
  std::vector<plan::Sequence> sequences{};
  std::int32_t page_size = 0;
};

Result<Call> check_call(const Pattern& pattern, const RunArgs& args);
// The same for sequences that were checked before.
Result<Call> check_call(const Pattern& pattern, const RunArgs& args, const Planned& planned);
// The same for a larger whole: no value where the report has findings.
std::optional<Call> check_call(const Pattern& pattern, const RunArgs& args, Report& report);

// A call as compiled code reads it; `arg` refers into the vectors.
struct Launch {
  plan::Operands arg{};
  std::vector<plan::BufferArg> buffers;
  std::vector<std::uint64_t> params;
  std::vector<float> sinks;  // by query head; empty: none
};
Launch make_launch(const Pattern& pattern, const RunArgs& args, const Call& call);

// Whether all sequences are decoded.
bool decodes(const Pattern& pattern, const Call& call);

// Each sequence by the kernel that suits it.
Result<RunStats> attend(const Attention::Impl& impl, const RunArgs& args, const Call& call);

// By the pattern's own kernel, whatever the number of query rows.
Result<RunStats> attend_by_kernel(const Attention::Impl& impl, const RunArgs& args, const Call& call);

// Naive fp64 attention over the interpreter, on the rows [rows.q_begin, ...) of a checked call.
Result<RunStats> attend_by_reference(const Pattern& pattern, const RunArgs& args, const Call& call, const ReferenceRows& rows);
// The same, of all rows of some of the call's sequences.
Result<RunStats> attend_by_reference(const Pattern& pattern, const RunArgs& args, const Call& call,
                                     std::span<const plan::Sequence> sequences);

// The `buffer-read` diagnostic of a read outside its buffer, at its place in the text.
Diagnostic describe_fault(const Pattern& pattern, const std::vector<TensorView>& buffers, const ir::ReadFault& fault);

}  // namespace engine
}  // namespace flexjit
