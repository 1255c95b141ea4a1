// FlexFlashInfer's own test: a named mask is prepared once, attended with in halves, and compared with attention by its
// definition; then the same by a dense mask tensor and by the matrix of its blocks, each with its time. Prints PASSED or
// FAILED.
#include <flexjit/flexjit.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>

#include "options.h"
#include "tensors.h"

namespace {

using flexjit::DType;

struct Call {
  const Options& options;
  std::vector<Half> q, k, v, out;

  explicit Call(const Options& of)
      : options(of),
        q(random_halves(std::int64_t{of.q_len} * of.num_qo_heads * of.head_dim, 1)),
        k(random_halves(std::int64_t{of.kv_len} * of.kv_heads() * of.head_dim, 2)),
        v(random_halves(std::int64_t{of.kv_len} * of.kv_heads() * of.head_dim, 3)),
        out(q.size()) {}

  flexjit::FlexRunArgs args() {
    const Options& o = options;
    return {.q = flexjit::TensorView(q.data(), DType::kF16, {o.q_len, o.num_qo_heads, o.head_dim}),
            .k = flexjit::TensorView(k.data(), DType::kF16, {o.kv_len, o.kv_heads(), o.head_dim}),
            .v = flexjit::TensorView(v.data(), DType::kF16, {o.kv_len, o.kv_heads(), o.head_dim}),
            .out = flexjit::MutableTensorView(out.data(), DType::kF16, {o.q_len, o.num_qo_heads, o.head_dim})};
  }
};

// Milliseconds of the fastest of three.
template <typename Run>
double time_of(const Run& run) {
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

bool report(const char* how, double ms, const Call& call) {
  const bool holds = excess(call.options, call.q, call.k, call.v, call.out) <= 0;
  std::printf("%-28s %9.3f ms  %s\n", how, ms, holds ? "agrees" : "differs");
  return holds;
}

// Any call of four dimensions, whose tensors are those of `call`.
flexjit::RunArgs batch_of(Call& call) {
  const Options& o = call.options;
  return {.q = flexjit::bshd(std::as_const(call.q).data(), DType::kF16, {1, o.q_len, o.num_qo_heads, o.head_dim}),
          .k = flexjit::bshd(std::as_const(call.k).data(), DType::kF16, {1, o.kv_len, o.kv_heads(), o.head_dim}),
          .v = flexjit::bshd(std::as_const(call.v).data(), DType::kF16, {1, o.kv_len, o.kv_heads(), o.head_dim}),
          .out = flexjit::bshd(call.out.data(), DType::kF16, {1, o.q_len, o.num_qo_heads, o.head_dim})};
}

bool by_prepared_text(Call& call, flexjit::FlexFlashInfer& handle) {
  const Options& o = call.options;
  handle
      .prepare({.mask = o.mask_type,
                .q_len = o.q_len,
                .kv_len = o.kv_len,
                .num_qo_heads = o.num_qo_heads,
                .num_kv_heads = o.kv_heads(),
                .head_dim = o.head_dim,
                .block_size_row = o.block_size_row,
                .block_size_col = o.block_size_col,
                .window_size = o.window_size,
                .chunk_size = o.chunk_size})
      .value();
  const double ms = time_of([&] { handle.run(call.args()).value(); });
  return report("mask by text, prepared", ms, call);
}

bool by_dense_mask(Call& call) {
  const Options& o = call.options;
  const Mask allowed = named_mask(o);
  std::vector<std::uint8_t> dense;
  for (std::int32_t q = 0; q < o.q_len; ++q)
    for (std::int32_t kv = 0; kv < o.kv_len; ++kv) dense.push_back(allowed(q, kv) ? 1 : 0);
  flexjit::AttentionSpec spec;
  spec.dtype = DType::kF16;
  spec.head_dim = o.head_dim;
  spec.attention_mask = flexjit::MaskTensor{DType::kBool, 2};
  const flexjit::Attention attention = flexjit::default_engine().compile(spec).value();
  flexjit::Bindings bindings;
  bindings.buffers["attention_mask"] = flexjit::TensorView(dense.data(), DType::kBool, {o.q_len, o.kv_len});
  flexjit::RunArgs args = batch_of(call);
  args.bindings = &bindings;
  const double ms = time_of([&] { attention.run(args).value(); });
  return report("dense mask", ms, call);
}

// The blocks alone, whose elements the matrix has.
bool by_matrix(Call& call, const flexjit::BsrBlocks& blocks) {
  const Options& o = call.options;
  flexjit::FlexFlashInfer handle;
  handle
      .prepare({.bsr = blocks.matrix(),
                .q_len = o.q_len,
                .kv_len = o.kv_len,
                .num_qo_heads = o.num_qo_heads,
                .num_kv_heads = o.kv_heads(),
                .head_dim = o.head_dim,
                .block_size_row = o.block_size_row,
                .block_size_col = o.block_size_col})
      .value();
  const double ms = time_of([&] { handle.run(call.args()).value(); });
  return report("block mask (BSR), prepared", ms, call);
}

int attend(const Options& options) {
  Call call(options);
  flexjit::FlexFlashInfer handle;
  bool holds = by_prepared_text(call, handle);
  const flexjit::BsrBlocks blocks = handle.bsr().value();
  std::printf("%lld blocks of %d x %d\n", static_cast<long long>(blocks.nnz()), options.block_size_row, options.block_size_col);
  std::ranges::fill(call.out, Half{0x7e00});
  holds = by_dense_mask(call) && holds;
  std::ranges::fill(call.out, Half{0x7e00});
  holds = by_matrix(call, blocks) && holds;
  std::puts(holds ? "PASSED" : "FAILED");
  return holds ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::optional<Options> options = parse_options(argc, argv);
  if (!options) return 2;
  try {
    return attend(*options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flex_flash_infer: %s\nFAILED\n", error.what());
    return 1;
  }
}
