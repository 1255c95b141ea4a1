// Attention is the compiled, immutable handle that computes what an AttentionSpec says.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/bindings.h"
#include "flexjit/block_mask.h"
#include "flexjit/engine_options.h"
#include "flexjit/export.h"
#include "flexjit/plan.h"
#include "flexjit/result.h"
#include "flexjit/rotary.h"
#include "flexjit/sequences.h"
#include "flexjit/spec.h"
#include "flexjit/tensor.h"
#include "flexjit/trace.h"

namespace flexjit {

// One call. Shapes: q (batch, q_heads, q_len, head_dim), k (batch, kv_heads, kv_len, head_dim), v (batch, kv_heads, kv_len,
// v_head_dim), out (batch, q_heads, q_len, v_head_dim), lse fp32 (batch, q_heads, q_len) or absent; of f64 calls fp64 as well.
// Query head h reads kv head h / (q_heads / kv_heads). max_scores fp32, of the shape of lse; sinks (q_heads). Outputs must not
// overlap the inputs. Whether lse, max_scores and sinks are given recompiles nothing.
struct RunArgs {
  TensorView q, k, v;
  MutableTensorView out;
  MutableTensorView lse{};                // data == nullptr: not wanted
  const Bindings* bindings = nullptr;     // may be null when the pattern has no free names without defaults
  const BlockMask* block_mask = nullptr;  // null: derived from the mask's text for this call
  // The largest score of each row after score_mod that the mask allows, without the sink; -inf for none.
  MutableTensorView max_scores{};  // data == nullptr: not wanted
  // A logit for each query head that takes part in the softmax of all its rows and has no value: f32, bf16 or f16. It enters
  // lse; a row without an allowed key has output 0 and this logit as its lse. -inf is as none.
  TensorView sinks{};  // data == nullptr: none
  // Of quantised k and v, what their elements are multiplied with: f32 (batch, kv_heads, kv_len, groups), groups = head_dim (of
  // v_scales v_head_dim) / AttentionSpec::kv_scale_dims, or 1; positive and finite, of which the first 1024 are looked at. Any
  // strides. An extent of 1 repeats: (1, 1, 1, 1) is a scale a tensor, (1, kv_heads, 1, 1) one a head, (batch, kv_heads,
  // kv_len, 1) one a token and head.
  // Beside sequences, batch and kv_len are those of k, and keys in pages have a scale a tensor or a head.
  TensorView k_scales{}, v_scales{};  // data == nullptr: 1
  // Lengths of their own for each sequence: packed tensors, caches, pages. Null: every batch entry is a sequence of q_len
  // queries and kv_len keys.
  const Sequences* sequences = nullptr;
  // Queries are rotated before they meet keys, which were rotated as they were appended (flexjit/kv_cache.h), by a copy that
  // lives as long as the call: q is not written. Null: they are taken as they are, wherever rotary_positions says. A sequence
  // that has keys has no more queries than keys. Not with run_backward.
  const Rotary* rotary = nullptr;
  RotaryPositions rotary_positions = RotaryPositions::kOfEachQuery;
  // Of this pattern, for `sequences` as they are: run() checks tensors and bindings alone and derives nothing. Null: all is
  // done for this call. Others than run() do without.
  const Plan* plan = nullptr;
  // Filled with what each thread did; null: not wanted. Costs a clock reading an item.
  Trace* trace = nullptr;
};

// What a finished call did.
struct RunStats {
  BlockCounts blocks;               // of the block mask that was used; all zero without a mask
  std::int64_t scores_visited = 0;  // (q, kv) pairs that the kernel computed, all heads
};

// The query rows [q_begin, q_begin + q_count) of every batch entry and head that a reference run computes.
struct ReferenceRows {
  std::int32_t q_begin = 0;
  std::int32_t q_count = -1;  // -1: all rows from q_begin on
};

// A part of the scores of a call: query rows of every batch entry and query head, or of the one that is named.
struct ScoreRows {
  PositionRange q{};
  std::optional<std::int32_t> b{}, h{};
};

struct BlockMaskOptions {
  std::int32_t batch = 1;  // planes to build; reduced to 1 when the mask does not read b (or h)
  std::int32_t heads = 1;
  std::int32_t kv_heads = 0;  // 0 = heads; only for masks that read num_kv_heads or kv_head
  std::int32_t q_len = 0;
  std::int32_t kv_len = 0;
  std::int32_t q_block = 128;
  std::int32_t kv_block = 128;
};

// How a block mask was found.
struct BlockMaskReport {
  double build_ms = 0;
  std::int64_t proved = 0;               // full and empty blocks decided without evaluating a pair: by interval analysis, or by
                                         // what varies with one index alone
  std::vector<BlockPosition> evaluated;  // blocks of which pairs were evaluated, whatever they turned out to be
};

// A compiled pattern. Immutable and cheap to copy; run() may be called from several threads at once. The machine code lives
// as long as the last copy, whatever the engine's cache evicts. A handle may outlive its Engine.
class FLEXJIT_API Attention {
 public:
  // Computes nothing until a compiled one is assigned: calls of it, or of one that was moved from, are the error
  // `empty-handle`.
  Attention() noexcept = default;
  bool empty() const noexcept { return impl_ == nullptr; }

  // out = softmax(mask(score_mod(scale * q k^T))) v and, when wanted, lse = ln sum exp of the modified scores. A row
  // with no allowed key has output 0 and lse -inf (or its sink). Deterministic: the same inputs give the same bits for every
  // thread count. Errors (all that apply, nothing is written unless noted): shape, dtype, stride, null or misaligned data,
  // missing or mistyped bindings, results that share memory with inputs, captured buffers or each other (`shared-memory`), a
  // block mask of other lengths, lse, max_scores or sinks with sigmoid weights, scales of keys that are not quantised;
  // `buffer-read` when an unmasked lane reads a buffer out of range (out and lse are then unspecified).
  Result<RunStats> run(const RunArgs& args) const;

  // What run() finds out about args.sequences (or a batch of one length), shapes and masks, for calls that differ in the
  // contents and places of tensors alone, such as the layers of a model: lengths and tables are looked at, sequences shared
  // out, block masks derived. Of q, k, v and out nothing but dtypes, shapes and strides counts. Params, and the contents of
  // buffers that the mask reads, must be the same when it is used, and what args.sequences refers to must live as long. A run()
  // with it is the error `stale-plan` where the pattern, shapes, params or any number of the sequences differ. Errors: those of
  // run(); `sequence-option` for a block mask.
  Result<Plan> plan(const RunArgs& args) const;

  // The same result by naive fp64 attention over the interpreter, sharing no code with the kernel. Slow; the oracle. Only
  // `rows` are computed and written; those past q_len are ignored.
  Result<RunStats> run_reference(const RunArgs& args, const ReferenceRows& rows = {}) const;

  // What the softmax of some rows sees: scale * q k^T after softcap, alibi, score_mod and the additive mask, -inf where a mask
  // or args.block_mask masks; NaN and infinities as they come, sinks not among them. Dense (batch, q_heads, rows, kv_len),
  // without a dimension that `rows` names. For looking at what a pattern does: computed as by run_reference, in fp64, and
  // rounded once; no kernel takes part. `args` are those of run(); v and the outputs are checked, but neither read nor
  // written. Several threads may call it at once. Errors: those of run(); `bad-option` for rows, batch entries or heads that
  // do not exist, or more than 2^26 scores.
  Result<std::vector<float>> scores(const RunArgs& args, const ScoreRows& rows) const;

  // The weights that these rows' values get, as scores() has the scores: after the softmax, of which sinks take their share, or
  // the sigmoid; before they are divided by 1 - p. Those that dropout drops are negative, -0 among them, which tells what a
  // seed drops.
  Result<std::vector<float>> weights(const RunArgs& args, const ScoreRows& rows) const;

  // The exact block mask of this pattern's mask at these lengths: any and all over every block. `bindings` as in run().
  // Without a mask every block is full. `report` may be null.
  Result<BlockMask> create_block_mask(const BlockMaskOptions& options, const Bindings* bindings = nullptr,
                                      BlockMaskReport* report = nullptr) const;
  // The same for lengths that have grown: the whole blocks of `mask`, which this pattern made for shorter lengths with the same
  // bindings, are taken over as they are. Captured buffers must hold what they held where they were read before. A mask that
  // depends on q_len or kv_len is made anew. Block sizes are those of `mask`. Error `mask-shape`: lengths shorter than those of
  // `mask`, or another number of planes.
  Result<BlockMask> extend_block_mask(const BlockMask& mask, const BlockMaskOptions& options,
                                      const Bindings* bindings = nullptr, BlockMaskReport* report = nullptr) const;
  // The exact mask from one whose partial blocks are only undecided, as slice, intersect, unite and complement leave them: its
  // full and empty blocks are taken over. The pattern's mask must be the one that `mask` stands for. Errors as above.
  Result<BlockMask> decide_block_mask(const BlockMask& mask, const BlockMaskOptions& options,
                                      const Bindings* bindings = nullptr, BlockMaskReport* report = nullptr) const;

  // How many (q_idx, kv_idx) pairs the mask allows, over all of options.batch and options.heads: exact, whatever the block
  // sizes. Without a mask: batch * heads * q_len * kv_len.
  Result<std::int64_t> count_allowed(const BlockMaskOptions& options, const Bindings* bindings = nullptr) const;
  // The same of one call, over all of its sequences; a given block mask and keys without a page do not matter. Errors: those of
  // run(), which checks the same.
  Result<std::int64_t> count_allowed(const RunArgs& args) const;

  // The mask of the pairs q x kv of batch entry plane.b and head plane.h, one byte a pair, 1 = allowed, row by row: the pair
  // (q_idx, kv_idx) is at (q_idx - q.begin) * (kv.end - kv.begin) + kv_idx - kv.begin. Positions are those of options.q_len and
  // options.kv_len; the block sizes and the block numbers of `plane` do not matter. Evaluated one pair after the other,
  // whatever the lengths; for looking at a part of a mask. Without a mask all are 1. Several threads may call it at once.
  // Errors: `mask-option` for a plane that does not exist, a range that is not inside the lengths, or more than 2^24 pairs;
  // those of bindings; `buffer-read`.
  Result<std::vector<std::uint8_t>> mask_elements(const BlockMaskOptions& options, const BlockPosition& plane, PositionRange q,
                                                  PositionRange kv, const Bindings* bindings = nullptr) const;

  // Where the machine code came from when this handle was made, and how long its compilation took (0 for a cache hit).
  KernelSource kernel_source() const noexcept;
  double compile_ms() const noexcept;
  // The instruction set of the kernel, as in EngineOptions::target; "" for the reference.
  std::string target() const;

  // About texts that mean something, though hardly what was meant, as check() has them too. Lives as long as the last copy.
  const Diagnostics& warnings() const& noexcept;
  Diagnostics warnings() const&& { return warnings(); }

  // The free names that a call must or may bind.
  std::vector<BufferDeclaration> buffers() const;
  std::vector<ParamDeclaration> params() const;

  struct Impl;  // lib/call
  explicit Attention(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace flexjit
