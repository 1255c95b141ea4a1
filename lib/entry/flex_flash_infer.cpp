// A mask's text or matrix -> a handle with two block masks: one of the sizes that were asked for, which is shown, and one of
// blocks that suit the kernel, which runs.
#include "flexjit/flex_flash_infer.h"

#include <algorithm>
#include <cctype>
#include <numbers>

#include "call/expected_tensor.h"
#include "diagnostics/guard.h"
#include "entry/bsr_blocks.h"
#include "entry/layouts.h"
#include "flexjit/presets.h"

namespace flexjit {

struct FlexFlashInfer::Impl {
  Attention attention{};
  Bindings bindings{};
  BlockMaskOptions options{};  // of `shown`
  BlockMask shown{}, runs{};
  std::optional<BsrBlocks> matrix{};  // that was given
  std::vector<std::int32_t> slots{};  // of `matrix`; `bindings` refer to both
  DType dtype = DType::kF16;
  std::int32_t head_dim = 0;
};

namespace engine {

namespace {

bool is_name(std::string_view mask) {
  const auto in_word = [](char letter) { return letter == '_' || std::isalnum(static_cast<unsigned char>(letter)) != 0; };
  return !mask.empty() && std::ranges::all_of(mask, in_word) && mask != "true" && mask != "false";
}

void check_sizes(const FlexPrepareArgs& args, Report& report) {
  if (args.mask.empty() != args.bsr.has_value())
    report.add(Finding::kBadOption, "mask", args.bsr ? "given beside bsr" : "empty", "give one of mask and bsr");
  if (args.num_qo_heads < 1) report.add(Finding::kBadOption, "num_qo_heads", args.num_qo_heads, "it must be 1 or more");
  if (args.num_kv_heads < 0 || (args.num_kv_heads > 0 && args.num_qo_heads % args.num_kv_heads != 0))
    report.add(Finding::kBadOption, "num_kv_heads", args.num_kv_heads,
               fmt::format("it must divide num_qo_heads, {}", args.num_qo_heads));
  if (!args.whole_blocks || args.block_size_row < 1 || args.block_size_col < 1) return;
  if (args.q_len % args.block_size_row != 0)
    report.add(Finding::kBadOption, "q_len", args.q_len, fmt::format("it must be a multiple of {}", args.block_size_row));
  if (args.kv_len % args.block_size_col != 0)
    report.add(Finding::kBadOption, "kv_len", args.kv_len, fmt::format("it must be a multiple of {}", args.block_size_col));
}

BlockMaskOptions options_of(const FlexPrepareArgs& args) {
  return {.heads = args.num_qo_heads,
          .kv_heads = args.num_kv_heads,
          .q_len = args.q_len,
          .kv_len = args.kv_len,
          .q_block = args.block_size_row,
          .kv_block = args.block_size_col};
}

// The mask as a text, and what it reads of a matrix.
Result<std::string> mask_text(const FlexPrepareArgs& args, FlexFlashInfer::Impl& made) {
  if (!args.bsr) return is_name(args.mask) ? get_mask_fn(args.mask, {args.window_size, args.chunk_size}) : args.mask;
  const BlockMaskShape shape{1, 1, args.q_len, args.kv_len, args.block_size_row, args.block_size_col};
  const Result<BlockMask> accepted = BlockMask::from_bsr(shape, *args.bsr);
  if (!accepted) return accepted.diagnostics();
  made.matrix = copy_of(shape, *args.bsr);
  made.slots = made.matrix->matrix().slots(shape);
  made.bindings.params["bsr_rows"] = args.block_size_row;
  made.bindings.params["bsr_columns"] = args.block_size_col;
  made.bindings.buffers["bsr_slots"] = TensorView(made.slots.data(), DType::kI32, {shape.q_blocks(), shape.kv_blocks()});
  made.bindings.buffers["bsr_data"] =
      TensorView(made.matrix->data.data(), DType::kBool, {made.matrix->nnz(), shape.q_block, shape.kv_block});
  return std::string(find_preset("bsr").value().mask_mod);
}

Status make(Engine& engine, const FlexPrepareArgs& args, FlexFlashInfer::Impl& made) {
  Report report("prepare");
  check_sizes(args, report);
  if (!report.empty()) return report.take();
  if (args.bindings != nullptr) made.bindings = *args.bindings;
  const Result<std::string> mask = mask_text(args, made);
  if (!mask) return mask.diagnostics();
  AttentionSpec spec{
      .score_mod = args.score_mod, .mask_mod = *mask, .dtype = args.dtype, .head_dim = args.head_dim, .scale = args.sm_scale};
  Result<Attention> attention = engine.compile_once(spec.declare(made.bindings));
  if (!attention) return attention.diagnostics();
  made.attention = *std::move(attention);
  made.dtype = args.dtype;
  made.head_dim = args.head_dim;
  made.options = options_of(args);
  BlockMaskOptions suits_kernel = made.options;
  suits_kernel.q_block = suits_kernel.kv_block = BlockMaskOptions{}.q_block;
  for (const auto& [options, to] : {std::pair(&made.options, &made.shown), std::pair(&suits_kernel, &made.runs)}) {
    Result<BlockMask> found = made.attention.create_block_mask(*options, &made.bindings);
    if (!found) return found.diagnostics();
    *to = *std::move(found);
  }
  return Unit{};
}

// What the run itself cannot say: it sees one call, and compares its tensors with each other.
void check_prepared(const FlexRunArgs& args, const FlexFlashInfer::Impl& of, Report& report) {
  const std::int32_t kv_heads = of.options.kv_heads > 0 ? of.options.kv_heads : of.options.heads;
  const auto check = [&](const char* name, const TensorView& view, const char* layout, std::vector<Dimension> dimensions) {
    const Expected expected{name, of.dtype, layout, std::move(dimensions)};
    if (check_rank(expected, view, report)) check_tensor(expected, view, report);
  };
  constexpr const char* kOwner = "what was prepared";
  const Dimension q_len{"q_len", of.options.q_len, kOwner}, kv_len{"kv_len", of.options.kv_len, kOwner};
  const Dimension heads{"heads", of.options.heads, kOwner}, keys{"heads", kv_heads, kOwner}, dim{"dim", of.head_dim, kOwner};
  check("q", args.q, "(q_len, num_qo_heads, head_dim)", {q_len, heads, dim});
  check("k", args.k, "(kv_len, num_kv_heads, head_dim)", {kv_len, keys, dim});
  check("v", args.v, "(kv_len, num_kv_heads, head_dim)", {kv_len, keys, dim});
  check("out", args.out, "(q_len, num_qo_heads, head_dim)", {q_len, heads, dim});
  const Expected lse{"lse", DType::kF32, "(q_len, num_qo_heads)", {q_len, heads}};
  if (args.lse.data != nullptr && check_rank(lse, args.lse, report)) check_output(lse, args.lse, report);
}

MutableTensorView heads_first_lse(const MutableTensorView& lse) {
  if (lse.data == nullptr) return lse;
  MutableTensorView turned = lse;
  turned.rank = 3;
  turned.shape = {1, lse.shape[1], lse.shape[0]};
  turned.strides = {0, lse.strides[1], lse.strides[0]};
  return turned;
}

void to_base_two(const MutableTensorView& lse) {
  for (std::int64_t row = 0; row < lse.shape[0]; ++row)
    for (std::int64_t head = 0; head < lse.shape[1]; ++head)
      static_cast<float*>(lse.data)[row * lse.strides[0] + head * lse.strides[1]] *= std::numbers::log2e_v<float>;
}

Diagnostics not_prepared(const char* call) {
  return single_finding(call, Finding::kEmptyHandle, "plan of FlexFlashInfer", "call prepare() first");
}

}  // namespace
}  // namespace engine

Status FlexFlashInfer::prepare(const FlexPrepareArgs& args) {
  return engine::guarded("prepare", [&]() -> Status {
    auto made = std::make_shared<Impl>();
    Status status = engine::make(*engine_, args, *made);
    if (status) impl_ = std::move(made);
    return status;
  });
}

Result<RunStats> FlexFlashInfer::run(const FlexRunArgs& args) const {
  return engine::guarded("run", [&]() -> Result<RunStats> {
    if (impl_ == nullptr) return engine::not_prepared("run");
    engine::Report report("run");
    engine::check_prepared(args, *impl_, report);
    if (!report.empty()) return report.take();
    using engine::heads_first, engine::Lengths;
    const Result<RunStats> stats = impl_->attention.run({.q = *heads_first("q", args.q, Lengths::kPacked, report),
                                                         .k = *heads_first("k", args.k, Lengths::kPacked, report),
                                                         .v = *heads_first("v", args.v, Lengths::kPacked, report),
                                                         .out = *heads_first("out", args.out, Lengths::kPacked, report),
                                                         .lse = engine::heads_first_lse(args.lse),
                                                         .bindings = &impl_->bindings,
                                                         .block_mask = &impl_->runs});
    if (stats && args.lse.data != nullptr && args.lse_base == LseBase::kTwo) engine::to_base_two(args.lse);
    return stats;
  });
}

Result<BsrBlocks> FlexFlashInfer::bsr(std::int32_t head) const {
  return engine::guarded("bsr", [&]() -> Result<BsrBlocks> {
    if (impl_ == nullptr) return engine::not_prepared("bsr");
    if (head < 0 || head >= impl_->options.heads)
      return engine::single_finding("bsr", engine::Finding::kMaskOption, "head", head,
                                    fmt::format("0 to {}", impl_->options.heads - 1));
    if (impl_->matrix) return *impl_->matrix;
    return engine::bsr_of(impl_->attention, impl_->options, impl_->bindings, impl_->shown, head);
  });
}

Result<BlockMask> FlexFlashInfer::block_mask() const {
  return engine::guarded("block_mask", [&]() -> Result<BlockMask> {
    if (impl_ == nullptr) return engine::not_prepared("block_mask");
    return impl_->shown;
  });
}

}  // namespace flexjit
