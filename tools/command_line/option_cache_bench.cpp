// The options of `flexjit bench --kv-bench` and `--varlen-bench`.
#include "command_line/option_groups.h"

namespace flexjit::tools {

namespace {

constexpr const char* kGroup = "Caches and ragged calls";
constexpr std::int64_t kMostRows = std::int64_t{1} << 24;

void add_combinations(CLI::App& app, CacheBenchOptions& caches) {
  const auto list = [&](const char* name, std::vector<std::int64_t>& values, const char* what, std::int64_t most) {
    app.add_option(name, values, what)
        ->delimiter(',')
        ->expected(1, 64)
        ->check(CLI::Range(std::int64_t{1}, most))
        ->capture_default_str()
        ->group(kGroup);
  };
  list("--kv-batch-sizes", caches.batch_sizes, "Sequences of a call", 4096);
  list("--kv-live-lengths", caches.live_lengths, "Keys of each", kMostRows);
  list("--kv-max-cache-lengths", caches.cache_lengths, "Rows of a contiguous cache; those below the keys are left out",
       kMostRows);
  list("--kv-page-sizes", caches.page_sizes, "Rows of a page", kMostRows);
  list("--kv-head-counts", caches.head_counts, "Heads, of queries and keys", 1024);
  list("--kv-head-dims", caches.head_dims, "Dimension of q, k and v", 1024);
  list("--batch-sizes", caches.varlen_batch_sizes, "Of --varlen-bench", 4096);
  list("--seq-lens", caches.varlen_lengths, "Of --varlen-bench", kMostRows);
  list("--head-counts", caches.varlen_head_counts, "Of --varlen-bench", 1024);
  list("--head-dims", caches.varlen_head_dims, "Of --varlen-bench", 1024);
}

}  // namespace

void add_cache_bench(CLI::App& app, CacheBenchOptions& caches) {
  CLI::Option* pages =
      app.add_flag("--kv-bench", caches.pages, "Instead of the suites: pages beside contiguous caches, each combination a row");
  CLI::Option* varlen =
      app.add_flag("--varlen-bench", caches.varlen, "Instead of the suites: packed sequences beside a call each");
  pages->group(kGroup);
  varlen->group(kGroup);
  add_combinations(app, caches);
  const auto grouped = [&](CLI::Option* option) { return option->group(kGroup); };
  grouped(app.add_option("--kv-seqlen-q", caches.seqlen_q, "Queries of each sequence, at most its keys")
              ->check(CLI::Range(std::int64_t{1}, kMostRows))
              ->capture_default_str());
  grouped(app.add_option("--kv-warmup-iters", caches.warmup, "Runs that do not count")
              ->check(CLI::Range(0, 100000))
              ->capture_default_str());
  grouped(app.add_option("--kv-bench-iters", caches.iterations, "Runs whose median counts")
              ->check(CLI::Range(1, 100000))
              ->capture_default_str());
  grouped(app.add_option_function<std::string>(
                 "--kv-dtype", [&caches](const std::string& name) { caches.dtype = dtype_of(name); }, "Of q, k and v")
              ->check(CLI::IsMember({"f32", "bf16", "f16"}))
              ->default_str("f16"));
  grouped(
      app.add_flag_callback("--no-causal", [&caches] { caches.causal = false; }, "Every query sees every key of its sequence"));
  grouped(app.add_flag("--cpu-comparison", caches.compared, "Compare results with naive fp64 attention"));
}

// A single combination, where the command line does not name others.
void make_quick(const CLI::App& app, CacheBenchOptions& caches) {
  const auto one = [&app](const char* option, std::vector<std::int64_t>& values, std::int64_t value) {
    if (app.get_option(option)->empty()) values = {value};
  };
  one("--kv-batch-sizes", caches.batch_sizes, 1);
  one("--kv-live-lengths", caches.live_lengths, 64);
  one("--kv-max-cache-lengths", caches.cache_lengths, 512);
  one("--kv-page-sizes", caches.page_sizes, 128);
  one("--kv-head-counts", caches.head_counts, 8);
  one("--kv-head-dims", caches.head_dims, 64);
  one("--batch-sizes", caches.varlen_batch_sizes, 4);
  one("--seq-lens", caches.varlen_lengths, 128);
}

}  // namespace flexjit::tools
