// AttentionSpec says what to compute; Attention is the compiled, immutable handle that computes it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flexjit/bindings.h"
#include "flexjit/block_mask.h"
#include "flexjit/export.h"
#include "flexjit/result.h"
#include "flexjit/tensor.h"
#include "flexjit/trace.h"

namespace flexjit {

// A free name of the expression-string form: the type and rank that will be bound to it. `*.flex` programs declare their own.
struct BufferDeclaration {
  std::string name{};
  DType dtype = DType::kF32;
  int rank = 1;  // 1 to 4
  // As declared in a *.flex file, one a dimension: a number, the name of a builtin or param, or "?". Empty: undeclared; ignored
  // in AttentionSpec::buffers.
  std::vector<std::string> extents{};
};
struct ParamDeclaration {
  std::string name{};
  Scalar default_value = std::int32_t{0};  // its alternative is the parameter's type
};

// Keys around the diagonal that ends in the bottom-right corner: diagonal - left to diagonal + right, both inclusive, where
// diagonal = q_idx + kv_len - q_len, or q_idx + min(key_lengths[b], kv_len) - q_len beside key_lengths. -1: unbounded on that
// side.
struct Window {
  std::int32_t left = -1;
  std::int32_t right = -1;
  bool operator==(const Window&) const = default;
};

// The last dimensions of (batch, q_heads, q_len, kv_len). A mask that is the same for all batch entries and heads is best
// declared with rank 2: its blocks are then classified once.
struct MaskTensor {
  DType dtype = DType::kF32;  // f32, bf16 or f16: added to the score, -inf masks; bool: false masks
  int rank = 4;               // 2 to 4
  bool operator==(const MaskTensor&) const = default;
};

// What turns scores into weights. Sigmoid weights are not normalised: O = sigmoid(S) V. They have no lse, no max_scores and no
// sinks; their bias is part of score_mod, as in "score - log(float(kv_len))".
enum class Weights : std::uint8_t { kSoftmax, kSigmoid };

// The pattern. Either `program` (the text of a *.flex file) or the two expression strings; leave what you do not need empty.
// S = scale * Q K^T -> softcap -> alibi -> score_mod -> attention_mask, all masks (to -inf) -> softmax -> O = P V; see
// docs/language.md for the text and docs/api.md for the flags. The flags are texts of the language themselves, composed with
// the caller's: all masks are ANDed. Their tensors are captured buffers and their numbers params, bound by the names below; a
// text cannot declare these names when the flag is used. Dimensions of extent 1 (or stride 0) and missing leading dimensions of
// their tensors repeat.
struct AttentionSpec {
  std::string program{};
  std::string program_name = "program";      // shown in diagnostics, usually the file name
  std::string score_mod{};                   // e.g. "score + slope[h] * (kv_idx - q_idx)"
  std::string mask_mod{};                    // e.g. "q_idx >= kv_idx"
  std::vector<BufferDeclaration> buffers{};  // of the expression strings
  std::vector<ParamDeclaration> params{};    // of the expression strings

  DType dtype = DType::kF32;         // of q: f32, bf16, f16 or f64
  std::optional<DType> kv_dtype{};   // of k and v; default: dtype. f32 queries may have bf16 or f16 keys and values
  std::optional<DType> out_dtype{};  // default: dtype. bf16 and f16 queries may have an f32 output
  std::int32_t head_dim = 64;        // 1..512
  std::int32_t v_head_dim = 0;       // 1..512; 0 = head_dim
  std::optional<double> scale{};     // default 1 / sqrt(head_dim); any finite number, 0 and negatives included

  // Beside key_lengths, causal, window and alibi have min(key_lengths[b], kv_len) in the place of kv_len.
  bool causal = false;              // kv_idx <= q_idx + kv_len - q_len
  std::optional<Window> window{};   // params window_left and window_right, which have these values where a call binds none
  std::optional<double> softcap{};  // s -> c * tanh(s / c), c > 0 and finite; param softcap
  bool alibi = false;               // s -> s - alibi_slopes * |q_idx + kv_len - q_len - kv_idx|; f32 (batch, q_heads)
  bool key_lengths = false;         // keys from key_lengths[b] on are masked; i32 (batch)
  bool key_mask = false;            // keys where key_mask[b, kv_idx] is false are masked; bool (batch, kv_len)
  std::optional<MaskTensor> attention_mask{};  // buffer attention_mask
  Weights weights = Weights::kSoftmax;

  // Declares every name of `bindings` that is not yet declared and that no flag uses, with its type and rank.
  FLEXJIT_API AttentionSpec& declare(const Bindings& bindings) &;
  FLEXJIT_API AttentionSpec declare(const Bindings& bindings) &&;
};

// One call. Shapes: q (batch, q_heads, q_len, head_dim), k (batch, kv_heads, kv_len, head_dim), v (batch, kv_heads, kv_len,
// v_head_dim), out (batch, q_heads, q_len, v_head_dim), lse fp32 (batch, q_heads, q_len) or absent. Query head h reads kv head
// h / (q_heads / kv_heads). max_scores as lse; sinks (q_heads). Outputs must not overlap the inputs. Whether lse, max_scores
// and sinks are given recompiles nothing.
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
  // Filled with what each thread did; null: not wanted. Costs a clock reading an item.
  Trace* trace = nullptr;
};

enum class KernelSource : std::uint8_t { kCompiled, kMemory, kDisk, kReference, kBuilt };  // kBuilt: of a built library
FLEXJIT_API std::string_view name_of(KernelSource source) noexcept;

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
  // missing or mistyped bindings, a block mask of other lengths, lse, max_scores or sinks with sigmoid weights; `buffer-read`
  // when an unmasked lane reads a buffer out of range (out and lse are then unspecified).
  Result<RunStats> run(const RunArgs& args) const;

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

  struct Impl;  // lib/api
  explicit Attention(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}
  const Impl& impl() const noexcept { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

}  // namespace flexjit
