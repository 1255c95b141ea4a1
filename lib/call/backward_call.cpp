// Each gradient against the tensor that it is the gradient of: the pattern says the element types, the forward call the shapes.
#include "call/backward_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "call/linear/linear_call.h"
#include "dsl/findings/spelling.h"
#include "support/dtype.h"

namespace flexjit::engine {

namespace {

// What a gradient is of. `shape` is looked at where it has the rank that `layout` names.
struct Subject {
  std::string name;  // as shown
  DType dtype;
  const TensorView& shape;
  const char* layout;
  std::vector<std::string> dimensions{};
};

void check_dtype(const std::string& name, DType dtype, DType own, Report& report) {
  if (dtype == own || dtype == DType::kF32) return;
  const std::string_view f32 = name_of(DType::kF32);
  const std::string wanted = name_of(own) == f32 ? std::string(f32) : fmt::format("{} or {}", name_of(own), f32);
  report.add(Finding::kUnsupportedDType, name, name_of(dtype), wanted);
}

// False where the rank is wrong, so that nothing can be said of dimensions.
bool check_gradient(const std::string& name, const TensorView& view, const Subject& of, Report& report) {
  const auto rank = static_cast<int>(of.dimensions.size());
  check_dtype(name, view.dtype, of.dtype, report);
  if (view.rank != rank) {
    report.add(Finding::kTensorRank, name, view.rank, rank, of.layout);
    return false;
  }
  check_view(name, view, report);
  if (of.shape.rank != rank) return true;
  for (std::size_t d = 0; d < of.dimensions.size(); ++d) {
    const bool negative = view.shape[d] < 0 || of.shape.shape[d] < 0;  // found by check_view
    if (!negative && view.shape[d] != of.shape.shape[d]) {
      report.add(Finding::kTensorShape, name, of.dimensions[d], view.shape[d], of.name, of.shape.shape[d]);
    }
  }
  return true;
}

void check_inner_stride(const std::string& name, const TensorView& view, Report& report) {
  if (view.shape[3] > 1 && view.strides[3] != 1) report.add(Finding::kInnerStride, name, view.strides[3]);
}

bool repeats_one_number(const TensorView& view) {
  return std::ranges::all_of(view.strides, [](std::int64_t stride) { return stride == 0; });
}

void check_given(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients, Report& report) {
  const TensorView out = as_const(forward.out), lse = as_const(forward.lse);
  if (gradients.out.data != nullptr) {
    const Subject of{
        "out", pattern.types.out, out, "(batch, q_heads, q_len, v_head_dim)", {"batch", "q_heads", "q_len", "v_head_dim"}};
    const bool has_rank = check_gradient("gradients.out", gradients.out, of, report);
    if (has_rank && !repeats_one_number(gradients.out)) check_inner_stride("gradients.out", gradients.out, report);
  }
  if (gradients.lse.data == nullptr) return;
  if (pattern.weights != plan::Weights::kSoftmax) {
    report.add(Finding::kNoSoftmax, "gradients.lse", plan::name_of(pattern.weights));
    return;
  }
  check_gradient("gradients.lse", gradients.lse,
                 {"lse", DType::kF32, lse, "(batch, q_heads, q_len)", {"batch", "q_heads", "q_len"}}, report);
}

void check_wanted(const std::string& name, const MutableTensorView& gradient, const Subject& of, Report& report) {
  if (gradient.data == nullptr) return;
  const TensorView view = as_const(gradient);
  if (!check_gradient(name, view, of, report)) return;
  if (overlaps_itself(view)) report.add(Finding::kOverlappingRows, name);
  if (view.rank == 4) check_inner_stride(name, view, report);
}

void check_tensors_wanted(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients, Report& report) {
  const DType q = pattern.types.q, kv = pattern.types.kv;
  check_wanted("gradients.q", gradients.q,
               {"q", q, forward.q, "(batch, q_heads, q_len, head_dim)", {"batch", "q_heads", "q_len", "head_dim"}}, report);
  check_wanted("gradients.k", gradients.k,
               {"k", kv, forward.k, "(batch, kv_heads, kv_len, head_dim)", {"batch", "kv_heads", "kv_len", "head_dim"}},
               report);
  check_wanted("gradients.v", gradients.v,
               {"v", kv, forward.v, "(batch, kv_heads, kv_len, v_head_dim)", {"batch", "kv_heads", "kv_len", "v_head_dim"}},
               report);
}

void check_sinks(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients, Report& report) {
  if (gradients.sinks.data == nullptr) return;
  if (pattern.weights != plan::Weights::kSoftmax) {
    report.add(Finding::kNoSoftmax, "gradients.sinks", plan::name_of(pattern.weights));
  } else if (forward.sinks.data == nullptr) {
    report.add(Finding::kNoGradient, "gradients.sinks", "the call has no sinks");
  } else {
    check_wanted("gradients.sinks", gradients.sinks, {"sinks", forward.sinks.dtype, forward.sinks, "(q_heads)", {"q_heads"}},
                 report);
  }
}

std::string gradient_name(const std::string& buffer) { return fmt::format("the gradient of buffer `{}`", buffer); }

bool check_has_gradient(const Pattern& pattern, std::uint32_t slot, Report& report) {
  const ir::BufferInterface& buffer = pattern.interface.buffers[slot];
  if (!support::is_float(buffer.dtype)) {
    report.add(Finding::kNoGradient, gradient_name(buffer.name),
               fmt::format("its elements are {}, and only floats have one", name_of(buffer.dtype)));
    return false;
  }
  const auto reads = [&](ir::Id root) -> bool { return ir::buffers_read_by(pattern.lowered, root)[slot]; };
  if (reads(pattern.lowered.score()) || !reads(pattern.lowered.mask())) return true;
  report.add(Finding::kNoGradient, gradient_name(buffer.name), "the mask alone reads it, and a mask has none");
  return false;
}

// The tensors of captured buffers may have any strides, so those of their gradients may.
void check_buffer(const std::string& name, const TensorView& view, const Subject& of, Report& report) {
  if (!check_gradient(name, view, of, report)) return;
  if (overlaps_itself(view)) report.add(Finding::kOverlappingRows, name);
}

// `bound` may be null: the buffer is not bound, which was found before.
void check_buffer_of_slot(const Pattern& pattern, std::uint32_t slot, const TensorView* bound, const TensorView& view,
                          Report& report) {
  const ir::BufferInterface& buffer = pattern.interface.buffers[slot];
  if (!check_has_gradient(pattern, slot, report) || bound == nullptr) return;
  Subject of{fmt::format("buffer `{}`", buffer.name), buffer.dtype, *bound, "as many as what is bound"};
  for (int d = 0; d < std::clamp(bound->rank, 0, kMaxRank); ++d)
    of.dimensions.push_back(fmt::format("dimension {} of extent", d));
  check_buffer(gradient_name(buffer.name), view, of, report);
}

std::optional<std::uint32_t> check_known(const ir::Interface& interface, const std::string& name, Report& report) {
  const auto found = std::ranges::find(interface.buffers, name, &ir::BufferInterface::name);
  if (found != interface.buffers.end()) return static_cast<std::uint32_t>(found - interface.buffers.begin());
  std::vector<std::string_view> known;
  for (const ir::BufferInterface& buffer : interface.buffers) known.push_back(buffer.name);
  report.add(Finding::kUnknownBinding, "buffer", name, dsl::did_you_mean(name, known));
  return std::nullopt;
}

void check_buffers(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients, Report& report) {
  for (const auto& [name, gradient] : gradients.buffers) {
    const std::optional<std::uint32_t> slot = check_known(pattern.interface, name, report);
    if (!slot || gradient.data == nullptr) continue;
    const TensorView* bound = nullptr;
    if (forward.bindings != nullptr) {
      const auto found = forward.bindings->buffers.find(name);
      if (found != forward.bindings->buffers.end()) bound = &found->second;
    }
    check_buffer_of_slot(pattern, *slot, bound, as_const(gradient), report);
  }
}

// No gradient where something lies that the pass reads, or another gradient. Of gradients that are what they must be.
void check_gradients_apart(const RunArgs& forward, const Gradients& gradients, Report& report) {
  const TensorView out = as_const(forward.out), lse = as_const(forward.lse);
  const Named read[] = {{"q", forward.q},
                        {"k", forward.k},
                        {"v", forward.v},
                        {"out", out},
                        {"lse", lse},
                        {"sinks", forward.sinks},
                        {"gradients.out", gradients.out},
                        {"gradients.lse", gradients.lse}};
  std::vector<std::pair<std::string, TensorView>> results = {{"gradients.q", as_const(gradients.q)},
                                                             {"gradients.k", as_const(gradients.k)},
                                                             {"gradients.v", as_const(gradients.v)},
                                                             {"gradients.sinks", as_const(gradients.sinks)}};
  for (const auto& [name, gradient] : gradients.buffers) results.emplace_back(gradient_name(name), as_const(gradient));
  std::vector<Named> written;
  written.reserve(results.size());
  for (const auto& [name, view] : results) written.push_back({name.c_str(), view});
  check_apart(read, written, forward.bindings, report);
}

// Rows of keys that more than one sequence may own would have sums of gradients, which nobody adds up.
void check_layout(const Sequences& sequences, Report& report) {
  const auto refuse = [&](const char* what, const TensorView& view) {
    if (view.data == nullptr) return;
    report.add(Finding::kSequenceOption,
               fmt::format("{} is given, but a backward pass needs keys that belong to one sequence each; pack them "
                           "(cu_seqlens_k), or give each sequence its own batch entry of k and v",
                           what));
  };
  refuse("block_table", sequences.block_table);
  refuse("page_indptr", sequences.page_indptr);
  refuse("cache_batch_idx", sequences.cache_batch_idx);
}

void check_saved_lse(const Pattern& pattern, const RunArgs& forward, Report& report) {
  if (pattern.weights != plan::Weights::kSoftmax || forward.lse.data != nullptr || forward.q.rank != 4) return;
  const auto& shape = forward.q.shape;
  if (shape[0] > 0 && shape[1] > 0 && shape[2] > 0) report.add(Finding::kMissingLse);
}

// The gradient's view under the shape that its buffer is read with.
MutableTensorView laid_over(const MutableTensorView& gradient, const TensorView& bound) {
  MutableTensorView result = gradient;
  result.rank = bound.rank;
  const int missing = bound.rank - gradient.rank;
  for (int d = bound.rank; d-- > 0;) {
    const auto to = static_cast<std::size_t>(d), from = static_cast<std::size_t>(std::max(d - missing, 0));
    const bool repeats = d < missing || gradient.shape[from] != bound.shape[to];
    result.shape[to] = bound.shape[to];
    result.strides[to] = repeats ? 0 : gradient.strides[from];
  }
  return result;
}

}  // namespace

std::vector<std::uint32_t> BackwardCall::wanted_buffers() const {
  std::vector<std::uint32_t> slots;
  for (std::uint32_t slot = 0; slot < buffers.size(); ++slot) {
    if (buffers[slot].data != nullptr) slots.push_back(slot);
  }
  return slots;
}

Result<std::vector<std::uint32_t>> gradient_slots(const Pattern& pattern, const std::vector<std::string>& names) {
  Report report("inspect");
  std::vector<std::uint32_t> slots;
  for (const std::string& name : names) {
    const std::optional<std::uint32_t> slot = check_known(pattern.interface, name, report);
    if (slot && check_has_gradient(pattern, *slot, report)) slots.push_back(*slot);
  }
  if (!report.empty()) return report.take();
  std::ranges::sort(slots);
  const auto repeated = std::ranges::unique(slots);
  slots.erase(repeated.begin(), repeated.end());
  return slots;
}

namespace {

// What gradients of linear weights are not there for.
Diagnostics refuse_gradients(const Pattern& pattern, const Gradients& gradients) {
  if (pattern.weights != plan::Weights::kLinear) return {};
  const char* hint = pattern.key == nullptr ? "they are computed by kernels alone, under causal masks, masks of keys or both"
                     : pattern.program.gate().valid() ? "gates have none, nor what they fade"
                     : !gradients.buffers.empty()     ? "captured buffers have none"
                                                      : nullptr;
  if (hint == nullptr) return {};
  return single_finding("run_backward", Finding::kNotLinear, "this gradient", hint);
}

}  // namespace

Result<BackwardCall> check_backward(const Pattern& pattern, const RunArgs& forward, const Gradients& gradients) {
  Report report("run_backward");
  if (Diagnostics none = refuse_gradients(pattern, gradients); !none.empty()) return none;
  RunArgs saved = forward;
  saved.max_scores = {};  // nothing depends on what it holds
  if (support::is_quantised(pattern.types.kv)) {
    report.add(Finding::kNoGradient, "a gradient",
               fmt::format("k and v are quantised to {}; take it of a pattern whose kv_dtype is a float of 16 bits or more",
                           name_of(pattern.types.kv)));
    return report.take();
  }
  std::optional<Call> call = check_call(pattern, saved, report);
  if (forward.rotary != nullptr)
    report.add(Finding::kBadOption, "forward.rotary", "given",
               "rotate q itself before the forward call, and the gradient of that back");
  if (forward.sequences != nullptr) check_layout(*forward.sequences, report);
  check_saved_lse(pattern, forward, report);
  check_given(pattern, forward, gradients, report);
  check_tensors_wanted(pattern, forward, gradients, report);
  check_sinks(pattern, forward, gradients, report);
  check_buffers(pattern, forward, gradients, report);
  if (report.empty()) check_gradients_apart(forward, gradients, report);
  if (!call || !report.empty()) return report.take();

  std::vector<MutableTensorView> buffers(pattern.interface.buffers.size());
  for (const auto& [name, gradient] : gradients.buffers) {
    const std::uint32_t slot = check_known(pattern.interface, name, report).value();
    if (gradient.data != nullptr) buffers[slot] = laid_over(gradient, call->bound.buffers[slot]);
  }
  return BackwardCall{*std::move(call), std::move(buffers)};
}

}  // namespace flexjit::engine
