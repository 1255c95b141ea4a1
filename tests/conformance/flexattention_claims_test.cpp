// What the seed FlexAttention for MLX says of cost, as what the engine counts and predicts, since no test asserts a time; and
// its callbacks.
#include <string>

#include "flexjit/inspect.h"
#include "harness.h"
#include "support/checklist.h"

namespace flexjit::conformance {
namespace {

// Cycles of one call by the model of the processor, times how often each block of the kernel ran.
double predicted_cycles(const AttentionSpec& spec, const Bindings* bindings) {
  Problem problem({.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = 768, .kv_len = 768, .head_dim = 64});
  const RunArgs args = problem.args(bindings);
  const InspectRequest request{.views = {InspectView::kRoofline},
                               .sizes = {.heads = 1, .q_len = 768, .kv_len = 768},
                               .bindings = bindings,
                               .run = &args,
                               .limits = {.gflops = 100, .read_gbps = 1000}};
  const std::string json = inspect(spec, {}, request).value().at(0).json;
  const std::string key = "\"predicted_cycles\":";
  const std::size_t begin = json.find(key);
  if (begin == std::string::npos) throw std::runtime_error(json);
  return std::stod(json.substr(begin + key.size()));
}

TEST(FlexAttentionClaims, CheapModsCostLittle) {
  covers("F20");
  const std::vector<float> slope{0.25F};
  Captures captures;
  captures.add("slope", {1}, slope);
  const double plain = predicted_cycles({.program = "score = score"}, nullptr);
  for (const char* mod : {"buffer slope : f32[num_heads]\nscore = score + slope[h] * (kv_idx - q_idx)",
                          "score = score + 0.1 * abs(q_idx - kv_idx) / 16"}) {
    const bool captures_slope = std::string(mod).starts_with("buffer");
    EXPECT_GE(plain, 0.85 * predicted_cycles({.program = mod}, captures_slope ? &captures.bindings() : nullptr)) << mod;
  }
}

std::int64_t visited(const char* mask, std::int32_t length, const BlockMask* blocks = nullptr) {
  Problem problem({.batch = 1, .q_heads = 1, .kv_heads = 1, .q_len = length, .kv_len = length, .head_dim = 8});
  RunArgs args = problem.args();
  args.block_mask = blocks;
  return compile_or_throw(engine_for("host"), {.program = mask, .head_dim = 8}).run(args).value().scores_visited;
}

// A block mask spares scores or nothing: the same kernel visits no more of them than where every block is left to the mask.
TEST(FlexAttentionClaims, ShortSequencesLoseNothingToBlocks) {
  covers("F22");
  for (const char* mask :
       {"mask = q_idx >= kv_idx", "mask = q_idx >= kv_idx && q_idx - kv_idx < 40", "mask = (q_idx + kv_idx) % 3 > 0"}) {
    for (const std::int32_t length : {64, 130, 256}) {
      const BlockMaskOptions whole{.q_len = length, .kv_len = length, .q_block = length, .kv_block = length};
      const BlockMask one =
          compile_or_throw(engine_for("host"), {.program = mask, .head_dim = 8}).create_block_mask(whole).value();
      EXPECT_LE(visited(mask, length), visited(mask, length, &one)) << mask << " of " << length;
    }
  }
}

// 257 of 16384 keys a query: what is computed falls with the blocks that are visited.
TEST(FlexAttentionClaims, LongSequencesGainWhatTheirBlocksSpare) {
  covers("F23", "G20");
  const char *causal = "mask = q_idx >= kv_idx", *window = "mask = q_idx >= kv_idx && q_idx - kv_idx <= 256";
  const auto blocks_of = [](const char* mask) {
    const BlockMaskOptions options{.q_len = 16384, .kv_len = 16384, .q_block = 128, .kv_block = 128};
    const BlockCounts counts =
        compile_or_throw(engine_for("host"), {.program = mask, .head_dim = 8}).create_block_mask(options).value().counts();
    return static_cast<double>(counts.full + counts.partial);
  };
  const double gain = static_cast<double>(visited(causal, 16384)) / static_cast<double>(visited(window, 16384));
  EXPECT_GE(gain, 0.6 * blocks_of(causal) / blocks_of(window));
}

// Functions of the caller's beside the text that says the same, in the reference and compiled, and behind a text of the handle.
TEST(FlexAttentionClaims, CallbacksAreTheirText) {
  covers("F24");
  const Shape shape{.batch = 2, .q_heads = 4, .kv_heads = 2, .q_len = 33, .kv_len = 40, .head_dim = 16};
  double slope = 0.125;
  const Callbacks callbacks{.score =
                                [](void* context, double score, const PairPosition& at) {
                                  return score - *static_cast<double*>(context) * (at.h + 1) * std::abs(at.q_idx - at.kv_idx);
                                },
                            .mask = [](void*, const PairPosition& at) { return at.b == 1 || at.kv_idx <= at.q_idx; },
                            .context = &slope};
  for (const char* text : {"", "mask = kv_idx % 3 > 0"}) {
    const Attention handle = compile_or_throw(engine_for("host"), spec_of(text, shape));
    Problem called(shape), compiled(shape);
    run_callbacks(handle, callbacks, called.args()).value();
    const auto mask = [&](const Position& p) { return (p.b == 1 || p.kv_idx <= p.q_idx) && (*text == 0 || p.kv_idx % 3 > 0); };
    EXPECT_TRUE(is_attention(
        called,
        {.score = [](Real score, const Position& p) { return score - Real(0.125) * (p.h + 1) * std::abs(p.q_idx - p.kv_idx); },
         .mask = mask}));
    const std::string whole =
        std::string("score = score - 0.125 * (h + 1) * abs(q_idx - kv_idx)\nmask = (b == 1 || kv_idx <= q_idx)") +
        (*text == 0 ? "" : " && kv_idx % 3 > 0");
    compile_or_throw(engine_for("host"), spec_of(whole, shape)).run(compiled.args()).value();
    EXPECT_TRUE(close(called.out.values(), compiled.out.values(), near(1e-5)));
  }
  const Attention plain = compile_or_throw(engine_for("host"), spec_of("", shape));
  Problem problem(shape);
  run_callbacks(plain, {}, problem.args()).value();
  EXPECT_TRUE(is_attention(problem, {}));
  const Callbacks throwing{.mask = [](void*, const PairPosition&) -> bool { throw std::runtime_error("no"); }};
  EXPECT_FALSE(run_callbacks(plain, throwing, problem.args()).has_value());
}

}  // namespace
}  // namespace flexjit::conformance
