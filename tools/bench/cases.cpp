// The sizes are those that attention engines are compared at: prefill of 2048 and 16384 tokens, a decoder's step over a long
// cache, an encoder's batch of short sequences. Patterns are the examples where there is one.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "bench/case.h"
#include "data/embedded.h"
#include "flexjit/row_order.h"

namespace flexjit::tools::bench {
namespace {

std::string example(std::string_view name) { return std::string(embedded_example(name)); }

Sizes square(std::int64_t heads, std::int64_t length, std::int64_t dim) {
  return {.batch = 1, .heads = heads, .kv_heads = heads, .q_len = length, .kv_len = length, .head_dim = dim, .v_head_dim = dim};
}

Sizes step(std::int64_t batch, std::int64_t heads, std::int64_t kv_heads, std::int64_t kv_len) {
  return {
      .batch = batch, .heads = heads, .kv_heads = kv_heads, .q_len = 1, .kv_len = kv_len, .head_dim = 128, .v_head_dim = 128};
}

DTypeOptions of(DType dtype) { return {.q = dtype, .kv = {}, .out = {}}; }

constexpr DType kF32 = DType::kF32, kBF16 = DType::kBF16, kF16 = DType::kF16, kF64 = DType::kF64;

constexpr const char* kAlibi = "buffer slope : f32[num_heads]\nscore = score + slope[h] * (kv_idx - q_idx)\n";
constexpr const char* kSoftcap = "const cap : float = 30.0\nscore = cap * tanh(score / cap)\n";

class Table {
 public:
  std::vector<Case> take() { return std::move(cases_); }

  void dense() {
    for (DType dtype : {kF32, kBF16, kF16, kF64}) example_case("dense", "2k D=64", "full", of(dtype), square(4, 2048, 64));
    for (DType dtype : {kF32, kBF16, kF16}) example_case("dense", "2k D=128", "full", of(dtype), square(4, 2048, 128));
  }

  void causal() {
    for (DType dtype : {kF32, kBF16})
      for (std::int64_t dim : {64, 128})
        example_case("causal", fmt::format("2k D={}", dim), "causal", of(dtype), square(4, 2048, dim));
  }

  void sparse() {
    for (DType dtype : {kF32, kBF16}) {
      example_case("sparse", "16k causal window 256", "sliding_window", of(dtype), square(1, 16384, 64));
      example_case("sparse", "16k documents of 800", "document", of(dtype), square(1, 16384, 64)).document_length = 800;
      example_case("sparse", "16k causal documents of 800", "document_causal", of(dtype), square(1, 16384, 64))
          .document_length = 800;
    }
  }

  void mods() {
    const Sizes sizes = square(4, 2048, 64);
    const std::string plain = example("full"), causal = example("causal");
    const auto add = [&](const char* name, const char* pattern, const std::string& program, const std::string& without) {
      cases_.push_back({.suite = "mods",
                        .name = name,
                        .pattern = pattern,
                        .program = program,
                        .beside = Beside::kPlain,
                        .plain = without,
                        .sizes = sizes});
    };
    add("2k none", "full", plain, plain);  // how much of a ratio is noise
    add("2k ALiBi", "alibi_dense", kAlibi, plain);
    add("2k relative bias table", "relative_bias", example("relative_bias"), plain);
    add("2k T5 buckets", "t5_buckets", example("t5_buckets"), plain);
    add("2k softcap", "softcap_dense", kSoftcap, plain);
    add("2k full bias (H,S,S)", "full_bias", example("full_bias"), plain);
    add("2k causal ALiBi", "alibi", example("alibi"), causal);
    add("2k causal softcap", "softcap", example("softcap"), causal);
  }

  // Beside exact causal attention. Products of rows that are no features are divided by the root of their dims.
  void linear() {
    constexpr const char* kCausal = "mask = q_idx >= kv_idx\n";
    const auto add = [&](const char* name, std::int64_t length, const std::string& text, const LinearWeights& linear) {
      cases_.push_back({.suite = "linear",
                        .name = fmt::format("{}k {}", length / 1024, name),
                        .pattern = linear.feature_map,
                        .program = text + kCausal,
                        .beside = Beside::kPlain,
                        .plain = kCausal,
                        .linear = linear,
                        .sizes = square(1, length, 64)});
    };
    for (const std::int64_t length : {4096, 16384}) {
      for (const std::int32_t features : {128, 256})
        add(features == 128 ? "FAVOR m=128" : "FAVOR m=256", length, fmt::format("buffer W : f32[{}, 64]\n", features),
            {.feature_map = "favor(W)", .features = features});
      add("elu+1", length, "", {.feature_map = "elu1"});
      add("relu", length, "", {.feature_map = "relu"});
      add("retention", length, "buffer g : f32[num_heads]\n",
          {.feature_map = "0.35355339 * x", .gate = "exp(-0.05 * abs(g[h]))", .normalised = false});
      add("gate per token", length, "buffer g : f32[num_heads, kv_len]\n",
          {.feature_map = "0.35355339 * x", .gate = "exp(-0.05 * abs(g[h, kv_idx]))", .normalised = false});
    }
  }

  // Rows in the order of windows, beside the same windows in raster order.
  void windows() {
    for (const std::int32_t shift : {0, 3}) {
      const SwinOptions image{.height = 56, .width = 56, .shift = {shift, shift}};
      const AttentionSpec raster = swin(image).value();
      cases_.push_back({.suite = "windows",
                        .name = fmt::format("56 x 56, M=7{}", shift == 0 ? "" : ", shifted"),
                        .pattern = "swin",
                        .program = in_order(raster).value().program,
                        .beside = Beside::kPlain,
                        .plain = raster.program,
                        .windows = image,
                        .sizes = square(8, 56 * 56, 64)});
    }
  }

  void decode() {
    for (DType dtype : {kF32, kBF16, kF16})
      example_case("decode", "32/8 heads kv 16k", "full", of(dtype), step(1, 32, 8, 16384));
    example_case("decode", "32/8 heads kv 16k", "full", {.q = kF32, .kv = kBF16, .out = {}}, step(1, 32, 8, 16384));
    for (DType dtype : {kF32, kBF16}) {
      example_case("decode", "32/32 heads kv 4k", "full", of(dtype), step(1, 32, 32, 4096));
      example_case("decode", "32/1 heads kv 16k batch 8", "full", of(dtype), step(8, 32, 1, 16384));
      example_case("decode", "32/8 heads kv 2k batch 8", "full", of(dtype), step(8, 32, 8, 2048));
    }
    Case& drafted = example_case("decode", "32/8 heads kv 16k 4 queries", "full", of(kF32), step(1, 32, 8, 16384));
    drafted.sizes.q_len = 4;
    // The absorbed form of latent attention.
    for (DType dtype : {kF32, kBF16})
      for (const std::int64_t heads : {1, 16}) {
        Case& latent = example_case("decode", fmt::format("{}/1 heads kv 16k D=576 values of 512", heads), "full", of(dtype),
                                    step(1, heads, 1, 16384));
        latent.sizes.head_dim = 576;
        latent.sizes.v_head_dim = 512;
      }
  }

  // The same keys in every type, of which the first two are what the others are compared with.
  void quantized() {
    const auto add = [&](const char* name, DType q, DType kv, const Sizes& sizes) -> DTypeOptions& {
      return example_case("quantized", name, "full", {.q = q, .kv = kv, .out = {}}, sizes).dtypes;
    };
    Sizes narrow = step(1, 32, 8, 16384);
    narrow.head_dim = narrow.v_head_dim = 64;
    for (const auto& [name, sizes] :
         {std::pair{"32/8 heads kv 16k", step(1, 32, 8, 16384)}, {"32/8 heads kv 16k D=64", narrow}}) {
      add(name, kF32, kF32, sizes);
      for (DType kv : {kBF16, DType::kI8, DType::kE4M3, DType::kE5M2}) add(name, kBF16, kv, sizes);
    }
    const char* prefill = "2k D=128";
    add(prefill, kF32, kF32, square(4, 2048, 128));
    for (DType kv : {kBF16, DType::kI8, DType::kE4M3}) add(prefill, kBF16, kv, square(4, 2048, 128));
    add("32/8 heads kv 16k", kBF16, DType::kI8, step(1, 32, 8, 16384)).scale_dims = 32;
  }

  void shapes() {
    for (std::int64_t dim : {32, 40, 80, 96, 160, 192, 256})
      example_case("shapes", fmt::format("2k D={}", dim), "full", of(kF32), square(dim < 160 ? 4 : 2, 2048, dim));
    for (DType dtype : {kF32, kBF16}) {
      Case& encoder = example_case("shapes", "16 x 128 tokens, 12 heads", "full", of(dtype), square(12, 128, 64));
      encoder.sizes.batch = 16;
    }
    example_case("shapes", "2k 8/2 heads", "causal", of(kF32), square(8, 2048, 64)).sizes.kv_heads = 2;
    Case& odd = example_case("shapes", "1999 x 2053 D=72", "full", of(kF32), square(4, 1999, 72));
    odd.sizes.kv_len = 2053;
    example_case("shapes", "2k D=128 values of 64", "full", of(kF32), square(4, 2048, 128)).sizes.v_head_dim = 64;
  }

  void scaling(int threads) {
    scale(example_case("scaling", "4k dense", "full", of(kF32), square(4, 4096, 64)), threads);
    scale(example_case("scaling", "4k causal", "causal", of(kF32), square(4, 4096, 64)), threads);
    scale(example_case("scaling", "decode 32/8 heads kv 16k", "full", of(kF32), step(1, 32, 8, 16384)), threads);
  }

  void varlen() {
    const auto add = [&](const char* name, DType dtype, std::vector<SequenceLengths> lengths) {
      Case& test = ragged_case("varlen", name, dtype, 8, 2, std::move(lengths));
      test.beside = Beside::kOneByOne;
    };
    std::vector<SequenceLengths> prefills, decodes{{1024, 1024}}, small;
    for (std::int64_t length : {1500, 700, 300, 1100, 450}) prefills.push_back({length, length});
    for (std::int64_t i = 0; i < 64; ++i) small.push_back({16 + i * 37 % 64, 16 + i * 37 % 64});
    decodes.insert(decodes.end(), 16, {1, 2048});
    for (DType dtype : {kF32, kBF16}) {
      add("prefills of 300 to 1500", dtype, prefills);
      add("64 prefills of 16 to 79", dtype, small);
      add("prefill of 1k and 16 decodes of 2k", dtype, decodes);
    }
  }

  void kvcache() {
    const std::vector<SequenceLengths> lengths{{1, 1024}, {1, 1536}, {1, 2304},  {1, 3456},
                                               {1, 5184}, {1, 7776}, {1, 11664}, {1, 16384}};
    for (DType dtype : {kF32, kBF16}) {
      ragged_case("kvcache", "32/8 heads 1k..16k", dtype, 32, 8, lengths).cache_rows = 16384;
      Case& paged = ragged_case("kvcache", "32/8 heads 1k..16k, pages of 64", dtype, 32, 8, lengths);
      paged.page_size = 64;
    }
  }

  void paged() {
    const auto add = [&](const char* name, DType dtype, Layout layout, std::int64_t page_size,
                         std::vector<SequenceLengths> lengths) {
      const char* order = layout == Layout::kBhsd ? "H,P,D" : "P,H,D";
      Case& test =
          ragged_case("paged", fmt::format("{}, pages of {} ({})", name, page_size, order), dtype, 32, 8, std::move(lengths));
      test.page_size = page_size;
      test.layout = layout;
      test.beside = Beside::kContiguous;
    };
    for (const Layout layout : {Layout::kBhsd, Layout::kBshd}) {
      for (std::int64_t page_size : {1, 16, 64, 128, 256}) {
        for (DType dtype : {kF32, kBF16}) add("4 decodes of 4k", dtype, layout, page_size, {4, {1, 4096}});
        add("2 prefills of 256 at 2k", kF32, layout, page_size, {2, {256, 2048}});
      }
    }
  }

  // Beside the same without dropout.
  void dropout() {
    const auto add = [&](Pass pass, std::int64_t dim, const char* generator, DropoutGenerator which) {
      const char* suffix = pass == Pass::kBackward ? ", backward" : "";
      Case& test =
          example_case("dropout", fmt::format("2k D={} {}{}", dim, generator, suffix), "full", of(kF32), square(4, 2048, dim));
      test.pass = pass;
      test.dropout = Dropout{.p = 0.1, .generator = which};
      test.beside = Beside::kPlain;
      test.plain = test.program;
    };
    for (Pass pass : {Pass::kForward, Pass::kBackward}) {
      for (std::int64_t dim : {64, 128}) {
        add(pass, dim, "word 0", DropoutGenerator::kPhilox);
        add(pass, dim, "four keys", DropoutGenerator::kPhilox4);
      }
    }
  }

  void backward(int threads) {
    for (DType dtype : {kF32, kBF16}) {
      for (std::int64_t dim : {64, 128}) {
        backward_case(fmt::format("2k D={}", dim), "full", dtype, square(4, 2048, dim));
        backward_case(fmt::format("2k causal D={}", dim), "causal", dtype, square(4, 2048, dim));
      }
      backward_case("16k causal window 256", "sliding_window", dtype, square(1, 16384, 64));
      backward_case("16k documents of 800", "document", dtype, square(1, 16384, 64)).document_length = 800;
    }
    backward_case("2k D=128 values of 64", "full", kF32, square(4, 2048, 128)).sizes.v_head_dim = 64;
    scale(backward_case("2k, one head", "full", kF32, square(1, 2048, 64)), threads);
    backward_mods();
    backward_buffers();
  }

 private:
  static void scale(Case& test, int threads) {
    test.beside = Beside::kOneThread;
    test.threads = threads;
  }

  // Causal at the end of each sequence.
  Case& ragged_case(const char* suite, std::string name, DType dtype, std::int64_t heads, std::int64_t kv_heads,
                    std::vector<SequenceLengths> lengths) {
    const Sizes sizes{
        .batch = 1, .heads = heads, .kv_heads = kv_heads, .q_len = 1, .kv_len = 1, .head_dim = 128, .v_head_dim = 128};
    Case& test = example_case(suite, std::move(name), "causal_bottom_right", of(dtype), with_lengths(sizes, lengths));
    test.lengths = std::move(lengths);
    return test;
  }

  Case& backward_case(std::string name, const char* pattern, DType dtype, const Sizes& sizes) {
    Case& test = example_case("backward", std::move(name), pattern, of(dtype), sizes);
    test.pass = Pass::kBackward;
    return test;
  }

  // Beside no mod.
  void backward_mods() {
    const auto add = [&](const char* name, const char* pattern, const std::string& program) {
      Case& test = backward_case(name, "full", kF32, square(4, 2048, 64));
      test.pattern = pattern;
      test.beside = Beside::kPlain;
      test.plain = std::exchange(test.program, program);
    };
    add("2k ALiBi", "alibi_dense", kAlibi);
    add("2k softcap", "softcap_dense", kSoftcap);
    add("2k relative bias table", "relative_bias", example("relative_bias"));
  }

  // Beside the same without the gradient of the buffer.
  void backward_buffers() {
    const auto add = [&](const char* name, const char* pattern, const char* buffer, const std::string& program) {
      Case& test = backward_case(name, "full", kF32, square(4, 2048, 64));
      test.pattern = pattern;
      test.gradients = {buffer};
      test.beside = Beside::kPlain;
      test.program = test.plain = program;
    };
    add("2k, of ALiBi slopes", "alibi_dense", "slope", kAlibi);
    add("2k, of a relative bias table", "relative_bias", "bias", example("relative_bias"));
    add("2k, of a full bias (H,S,S)", "full_bias", "bias", example("full_bias"));
  }

  Case& example_case(const char* suite, std::string name, const char* pattern, const DTypeOptions& dtypes, const Sizes& sizes) {
    cases_.push_back({.suite = suite,
                      .name = std::move(name),
                      .pattern = pattern,
                      .program = example(pattern),
                      .dtypes = dtypes,
                      .sizes = sizes});
    return cases_.back();
  }

  std::vector<Case> cases_;
};

}  // namespace

Case small_version(Case test) {
  const auto cut = [](std::int64_t length) { return length <= 128 ? length : std::max<std::int64_t>(length / 16, 64); };
  test.sizes.q_len = cut(test.sizes.q_len);
  test.sizes.kv_len = cut(test.sizes.kv_len);
  for (SequenceLengths& one : test.lengths) one = {cut(one.q), cut(one.kv)};
  test.cache_rows = cut(test.cache_rows);
  if (test.windows) {
    test.windows->height /= 4;
    test.windows->width /= 4;
    const AttentionSpec raster = swin(*test.windows).value();
    test.program = in_order(raster).value().program;
    test.plain = raster.program;
  }
  if (test.document_length > 0) test.document_length = std::max<std::int64_t>(test.document_length / 16, 1);
  return test;
}

Case plain_version(Case test) {
  test.program = test.plain;
  test.gradients.clear();
  test.dropout.reset();
  test.linear.reset();
  test.windows.reset();
  return test;
}

Case contiguous_version(Case test, Layout layout) {
  test.page_size = 0;
  test.cache_rows = std::max<std::int64_t>(test.sizes.kv_len, 1);
  test.layout = layout;
  return test;
}

std::string dtype_text(const Case& test) {
  const DTypeOptions& d = test.dtypes;
  const std::string groups = d.scale_dims == 0 ? "" : fmt::format(" by {}", d.scale_dims);
  return d.kv_dtype() == d.q ? std::string(name_of(d.q))
                             : fmt::format("{}, kv {}{}", name_of(d.q), name_of(d.kv_dtype()), groups);
}

std::vector<std::string> suite_names() {
  return {"dense",    "causal",  "sparse", "mods",    "decode", "shapes", "quantized", "scaling",
          "backward", "dropout", "varlen", "kvcache", "paged",  "linear", "windows"};
}

std::vector<Case> select_cases(const BenchOptions& options) {
  Table table;
  table.dense();
  table.causal();
  table.sparse();
  table.mods();
  table.decode();
  table.shapes();
  table.quantized();
  table.scaling(std::max(2, options.threads));
  table.backward(std::max(2, options.threads));
  table.dropout();
  table.varlen();
  table.kvcache();
  table.paged();
  table.linear();
  table.windows();
  std::vector<Case> selected;
  for (Case& test : table.take()) {
    const bool suite = options.suites.empty() || std::ranges::find(options.suites, test.suite) != options.suites.end();
    const std::string path = fmt::format("{}/{}/{}", test.suite, test.name, dtype_text(test));
    if (!suite || path.find(options.filter) == std::string::npos) continue;
    if (test.beside != Beside::kOneThread) test.threads = options.threads;
    selected.push_back(options.effort == Effort::kQuick ? small_version(std::move(test)) : std::move(test));
  }
  return selected;
}

}  // namespace flexjit::tools::bench
