// What a caller waits for besides the kernel: compiling a new pattern with LLVM already loaded, finding a known one, and the
// cost of a call on an input too small to matter.
#include <benchmark/benchmark.h>
#include <flexjit/flexjit.h>

#include <string>
#include <vector>

namespace {

flexjit::AttentionSpec alibi_causal(const std::string& factor) {
  flexjit::AttentionSpec spec;
  spec.score_mod = "score + " + factor + " * slope[h] * (kv_idx - q_idx)";
  spec.mask_mod = "q_idx >= kv_idx";
  spec.buffers.push_back({.name = "slope"});
  spec.head_dim = 64;
  return spec;
}

// A pattern that no cache has seen, each time.
void compile_new_pattern(benchmark::State& state) {
  flexjit::Engine engine;
  engine.compile(alibi_causal("0.5")).value();  // loads the compiler
  int next = 1;
  for (auto _ : state) benchmark::DoNotOptimize(engine.compile(alibi_causal(std::to_string(next++) + ".25")).value());
  state.counters["compiles"] = static_cast<double>(engine.stats().compiles);
}
BENCHMARK(compile_new_pattern)->Unit(benchmark::kMillisecond)->Iterations(25);

void find_known_pattern(benchmark::State& state) {
  flexjit::Engine engine;
  const flexjit::AttentionSpec spec = alibi_causal("0.5");
  engine.compile(spec).value();
  for (auto _ : state) benchmark::DoNotOptimize(engine.compile(spec).value());
  state.counters["compiles"] = static_cast<double>(engine.stats().compiles);
}
BENCHMARK(find_known_pattern)->Unit(benchmark::kMicrosecond);

// Another length each time, on one handle: nothing is compiled again.
void run_small_with_changing_lengths(benchmark::State& state) {
  flexjit::EngineOptions options;
  options.cache_dir.clear();
  options.threads = 1;
  flexjit::Engine engine(options);
  const flexjit::Attention attention = engine.compile(alibi_causal("0.5")).value();
  const std::vector<float> x(std::size_t{32} * 64, 0.1F), slope(1, 0.05F);
  std::vector<float> out(x.size());
  flexjit::Bindings bindings;
  bindings.buffers["slope"] = flexjit::TensorView(slope.data(), flexjit::DType::kF32, {1});
  std::int64_t length = 1;
  for (auto _ : state) {
    length = length % 32 + 1;
    flexjit::RunArgs args;
    args.q = args.k = args.v = flexjit::TensorView(x.data(), flexjit::DType::kF32, {1, 1, length, 64});
    args.out = flexjit::MutableTensorView(out.data(), flexjit::DType::kF32, {1, 1, length, 64});
    args.bindings = &bindings;
    benchmark::DoNotOptimize(attention.run(args).value());
  }
  state.counters["compiles"] = static_cast<double>(engine.stats().compiles);
}
BENCHMARK(run_small_with_changing_lengths)->Unit(benchmark::kMicrosecond);

}  // namespace
