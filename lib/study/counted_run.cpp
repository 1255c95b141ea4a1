// Twice the same call: once by a kernel that counts, and some times by the kernel itself.
#include "study/counted_run.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "call/call.h"
#include "diagnostics/report.h"

namespace flexjit::engine {
namespace {

constexpr int kTimedRuns = 7;

Attention::Impl handle_of(const std::shared_ptr<const Pattern>& pattern, const plan::KernelKey& key,
                          const plan::CodeImage& image) {
  HandleKernels kernels{.prefill = cache::load_image(key, image)};
  if (key.nest == plan::Nest::kDecode) kernels.decode = std::make_shared<DecodeKernel>(pattern->key, kernels.prefill);
  const auto handle = make_handle(pattern, std::move(kernels));
  handle->threads = 1;
  return *handle;
}

Result<RunStats> attend(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  if (impl.decode == nullptr) return attend_by_kernel(impl, args, call);
  if (auto decoded = attend_by_decode(impl, args, call)) return *std::move(decoded);
  return single_finding("inspect", Finding::kInspectKernel,
                        "this call takes the other one, having many query rows, or heads that share keys but not their mask");
}

// The median; the first run, which finds its memory, does not count.
Result<double> seconds_of(const Attention::Impl& impl, const RunArgs& args, const Call& call) {
  std::vector<double> seconds;
  for (int i = 0; i <= kTimedRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Result<RunStats> stats = attend(impl, args, call);
    if (!stats) return stats.diagnostics();
    if (i > 0) seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::nth_element(seconds, seconds.begin() + kTimedRuns / 2);
  return seconds[kTimedRuns / 2];
}

}  // namespace

Result<study::CountedRun> run_counted(const std::shared_ptr<const Pattern>& pattern, const plan::KernelKey& key,
                                      const plan::CompilerDoor& door, const RunArgs& args) {
  const Result<Call> call = check_call(*pattern, args);
  if (!call) return call.diagnostics();
  const Result<plan::CodeImage> plain = door.compile(key);
  if (!plain) return plain.diagnostics();
  const Result<plan::CountingImage> counting = door.compile_counting(key);
  if (!counting) return counting.diagnostics();
  study::CountedRun run{.blocks = counting->blocks, .counts = std::vector<std::int64_t>(counting->blocks.size())};
  Attention::Impl counter = handle_of(pattern, key, counting->image);
  counter.block_counts = run.counts.data();
  const Result<RunStats> stats = attend(counter, args, *call);
  if (!stats) return stats.diagnostics();
  run.scores_visited = stats->scores_visited;
  const Result<double> seconds = seconds_of(handle_of(pattern, key, *plain), args, *call);
  if (!seconds) return seconds.diagnostics();
  run.seconds = *seconds;
  return run;
}

}  // namespace flexjit::engine
