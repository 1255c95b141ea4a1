// flash_attn_combine: its stacked partial results as states to merge.
#include <vector>

#include "diagnostics/guard.h"
#include "entry/layouts.h"
#include "flexjit/merge_states.h"

namespace flexjit {

namespace {

using engine::Finding, engine::Lengths, engine::Report;

// (batch, seqlen, heads) or (total, heads) -> (batch, heads, length).
template <typename View>
View lse_heads_first(const View& view) {
  View result = view;
  result.rank = 3;
  if (view.rank == 2) {
    result.shape = {1, view.shape[1], view.shape[0]};
    result.strides = {0, view.strides[1], view.strides[0]};
  } else {
    result.shape = {view.shape[0], view.shape[2], view.shape[1]};
    result.strides = {view.strides[0], view.strides[2], view.strides[1]};
  }
  return result;
}

// Split `i` of a stack of any rank.
template <typename Stack>
TensorView split_of(const Stack& stack, std::int64_t i) {
  TensorView split;
  split.dtype = stack.dtype;
  split.rank = stack.rank - 1;
  for (std::size_t d = 0; d < static_cast<std::size_t>(split.rank); ++d) {
    split.shape[d] = stack.shape[d + 1];
    split.strides[d] = stack.strides[d + 1];
  }
  if (stack.data != nullptr)
    split.data =
        static_cast<const std::byte*>(stack.data) + i * stack.strides[0] * static_cast<std::int64_t>(size_of(stack.dtype));
  return split;
}

Status combine(const FlashAttnCombineArgs& args, Report& report) {
  const PackedView& parts = args.out_partial;
  if (parts.rank != 5 && parts.rank != 4)
    report.add(Finding::kTensorRank, "out_partial", parts.rank, 5,
               "(splits, batch, seqlen, heads, dim), or 4: (splits, total, heads, dim)");
  else if (args.lse_partial.rank != parts.rank - 1)
    report.add(Finding::kTensorRank, "lse_partial", args.lse_partial.rank, parts.rank - 1, "out_partial without its last");
  else if (args.lse_partial.shape[0] != parts.shape[0])
    report.add(Finding::kTensorShape, "lse_partial", "splits", args.lse_partial.shape[0], "out_partial", parts.shape[0]);
  if (args.softmax_lse.data != nullptr && args.softmax_lse.rank != parts.rank - 2)
    report.add(Finding::kTensorRank, "softmax_lse", args.softmax_lse.rank, parts.rank - 2, "lse_partial without its splits");
  const Lengths lengths = parts.rank == 5 ? Lengths::kBatch : Lengths::kPacked;
  const auto out = heads_first("out", args.out, lengths, report);
  if (!report.empty()) return report.take();
  std::vector<AttentionState> states;
  for (std::int64_t i = 0; i < parts.shape[0]; ++i) {
    const auto v = heads_first("out_partial", split_of(parts, i), lengths, report);
    states.push_back({*v, lse_heads_first(split_of(args.lse_partial, i))});
  }
  MergeArgs merge{.states = states, .out = *out};
  if (args.softmax_lse.data != nullptr) merge.lse = lse_heads_first(args.softmax_lse);
  return merge_states(merge);
}

}  // namespace

Status flash_attn_combine(const FlashAttnCombineArgs& args) {
  return engine::guarded("flash_attn_combine", [&]() -> Status {
    Report report("flash_attn_combine");
    return combine(args, report);
  });
}

}  // namespace flexjit
