// FlexFlashInfer is a mask that is prepared once and attended with many times: FlashInfer's plan and run over the text, or the
// name, of a mask, whose blocks come out and go in as a BSR matrix.
//
//   FlexFlashInfer attention;
//   attention.prepare({.mask = "sliding_window", .q_len = 1024, .kv_len = 1024, .num_qo_heads = 8, .head_dim = 64,
//                      .window_size = 256}).value();
//   attention.run({.q = q, .k = k, .v = v, .out = out}).value();  // as often as there are layers
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flexjit/attention.h"
#include "flexjit/block_mask.h"
#include "flexjit/engine.h"
#include "flexjit/export.h"
#include "flexjit/result.h"

namespace flexjit {

// What some named masks are made of.
struct MaskSizes {
  std::optional<std::int32_t> window_size{}, chunk_size{};
};
// The text of a named mask, its case ignored:
//   causal          q_idx >= kv_idx
//   sliding_window  causal, and q_idx - kv_idx <= window_size
//   attamba         causal, and (kv_idx + 1) % chunk_size == 0 or q_idx - kv_idx < window_size
//   full            true
// Errors `bad-option`: another name, a size that is missing, a window_size below 0, a chunk_size below 1.
FLEXJIT_API Result<std::string> get_mask_fn(std::string_view mask_type, const MaskSizes& sizes = {});

// A BSR matrix that owns its lists: BsrMatrix in block_mask.h. `data` is (nnz, q_block, kv_block), 0 or 1, and 0 past the ends
// of the lengths.
struct BsrBlocks {
  BlockMaskShape shape{};
  std::vector<std::int32_t> indptr{}, indices{};
  std::vector<std::uint8_t> data{};

  std::int64_t nnz() const noexcept { return static_cast<std::int64_t>(indices.size()); }
  BsrMatrix matrix() const& noexcept { return {indptr, indices, data}; }
  BsrMatrix matrix() const&& = delete;
};

struct FlexPrepareArgs {
  // One of the names of get_mask_fn, or the text of a mask (AttentionSpec::mask_mod). One word other than `true` and `false` is
  // a name. Empty where `bsr` is given.
  std::string mask{};
  // In the place of the mask: a matrix of blocks block_size_row x block_size_col, copied.
  std::optional<BsrMatrix> bsr{};
  std::string score_mod{};  // as in AttentionSpec
  std::int32_t q_len = 0, kv_len = 0;
  std::int32_t num_qo_heads = 0;
  std::int32_t num_kv_heads = 0;  // 0: num_qo_heads; a divisor of them
  std::int32_t head_dim = 0;      // must be given
  std::int32_t block_size_row = 64, block_size_col = 64;
  DType dtype = DType::kF16;  // of q, k, v and out
  std::optional<double> sm_scale{};
  std::optional<std::int32_t> window_size{}, chunk_size{};  // of a named mask
  // Of the texts' names. Its buffers must live, and those that the mask reads keep their contents, until the handle is prepared
  // again or destroyed.
  const Bindings* bindings = nullptr;
  // Lengths that are no multiples of the block sizes are refused, as FlexFlashInfer's own code does.
  bool whole_blocks = false;
};

enum class LseBase : std::uint8_t { kTwo, kNatural };

// Tensors are NHD, (length, heads, head_dim), with a unit innermost stride; nothing is copied.
struct FlexRunArgs {
  TensorView q{};           // (q_len, num_qo_heads, head_dim)
  TensorView k{}, v{};      // (kv_len, num_kv_heads, head_dim)
  MutableTensorView out{};  // as q
  MutableTensorView lse{};  // f32 (q_len, num_qo_heads); data == nullptr: not wanted. -inf for a row without a key
  LseBase lse_base = LseBase::kTwo;
};

// There is no workspace to give: a call's scratch is the library's own. prepare() must not overlap other calls of one handle;
// run(), bsr() and block_mask() may be called from several threads at once. A copy shares what was prepared.
class FLEXJIT_API FlexFlashInfer {
 public:
  FlexFlashInfer() : FlexFlashInfer(default_engine()) {}
  // `engine` must live as long as prepare() is called.
  explicit FlexFlashInfer(Engine& engine) : engine_(&engine) {}

  // Compiles the pattern, unless the engine has it, and decides every block of the mask. What was prepared before is replaced,
  // or kept on an error. Errors: those of Engine::compile, Attention::create_block_mask and BlockMask::from_bsr, `bad-option`.
  Status prepare(const FlexPrepareArgs& args);

  // Row without an allowed key: out 0. No block is decided again; inside partial blocks the kernel applies the mask. Errors:
  // `empty-handle` before prepare(), `tensor-shape` for other lengths, heads or dims, with both numbers; those of
  // Attention::run.
  Result<RunStats> run(const FlexRunArgs& args) const;

  // The mask as it was prepared, in blocks of block_size_row x block_size_col, of query head `head` where it reads h. Elements
  // of a mask that was given as text are evaluated here, where a block is partial. Error `empty-handle`, `mask-option`.
  Result<BsrBlocks> bsr(std::int32_t head = 0) const;
  // The same, undecided elements left to the text. Error `empty-handle`.
  Result<BlockMask> block_mask() const;

  struct Impl;  // lib/entry

 private:
  Engine* engine_;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace flexjit
