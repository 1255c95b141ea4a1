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

// The pattern. Either `program` (the text of a *.flex file) or the two expression strings; leave what you do not need empty.
// S = scale * Q K^T -> score_mod -> mask_mod (to -inf) -> softmax -> O = P V; see docs/language.md.
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
  std::optional<float> scale{};      // default 1 / sqrt(head_dim); any float, 0 and negatives included

  // Declares every name of `bindings` that is not yet declared, with its type and rank.
  FLEXJIT_API AttentionSpec& declare(const Bindings& bindings);
};

// One call. Shapes: q (batch, q_heads, q_len, head_dim), k (batch, kv_heads, kv_len, head_dim), v (batch, kv_heads, kv_len,
// v_head_dim), out (batch, q_heads, q_len, v_head_dim), lse fp32 (batch, q_heads, q_len) or absent. Query head h reads kv head
// h / (q_heads / kv_heads). `out` and `lse` must not overlap the inputs.
struct RunArgs {
  TensorView q, k, v;
  MutableTensorView out;
  MutableTensorView lse{};                // data == nullptr: not wanted
  const Bindings* bindings = nullptr;     // may be null when the pattern has no free names without defaults
  const BlockMask* block_mask = nullptr;  // null: derived from the mask's text for this call
};

enum class KernelSource : std::uint8_t { kCompiled, kMemory, kDisk, kReference };
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

struct BlockMaskOptions {
  std::int32_t batch = 1;  // planes to build; reduced to 1 when the mask does not read b (or h)
  std::int32_t heads = 1;
  std::int32_t kv_heads = 0;  // 0 = heads; only for masks that read num_kv_heads or kv_head
  std::int32_t q_len = 0;
  std::int32_t kv_len = 0;
  std::int32_t q_block = 128;
  std::int32_t kv_block = 128;
};

// A compiled pattern. Immutable and cheap to copy; run() may be called from several threads at once. The machine code lives
// as long as the last copy, whatever the engine's cache evicts. A handle may outlive its Engine.
class FLEXJIT_API Attention {
 public:
  // out = softmax(mask(score_mod(scale * q k^T))) v and, when wanted, lse = ln sum exp of the modified scores. A row
  // with no allowed key has output 0 and lse -inf. Deterministic: the same inputs give the same bits for every thread count.
  // Errors (all that apply, nothing is written unless noted): shape, dtype, stride, null or misaligned data, missing or
  // mistyped bindings, a block mask of other lengths; `buffer-read` when an unmasked lane reads a buffer out of range (out and
  // lse are then unspecified).
  Result<RunStats> run(const RunArgs& args) const;

  // The same result by naive fp64 attention over the interpreter, sharing no code with the kernel. Slow; the oracle. Only
  // `rows` are computed and written; those past q_len are ignored.
  Result<RunStats> run_reference(const RunArgs& args, const ReferenceRows& rows = {}) const;

  // The exact block mask of this pattern's mask at these lengths: any and all over every block. `bindings` as in run().
  // Without a mask every block is full.
  Result<BlockMask> create_block_mask(const BlockMaskOptions& options, const Bindings* bindings = nullptr) const;

  // How many (q_idx, kv_idx) pairs the mask allows, over all of options.batch and options.heads: exact, whatever the block
  // sizes. Without a mask: batch * heads * q_len * kv_len.
  Result<std::int64_t> count_allowed(const BlockMaskOptions& options, const Bindings* bindings = nullptr) const;

  // Where the machine code came from when this handle was made, and how long its compilation took (0 for a cache hit).
  KernelSource kernel_source() const noexcept;
  double compile_ms() const noexcept;

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
