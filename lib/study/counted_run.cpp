// Twice the same call: once by a kernel that counts, and some times by the kernel itself.
#include "study/counted_run.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <list>
#include <utility>

#include "call/backward_call.h"
#include "call/call.h"
#include "diagnostics/report.h"

namespace flexjit::engine {
namespace {

constexpr int kTimedRuns = 7;

using SharedPattern = std::shared_ptr<const Pattern>;

// A kernel as a handle, and the call on it.
struct Way {
  std::function<HandleKernels(cache::SharedKernel)> kernels;
  std::function<Result<RunStats>(const Attention::Impl&)> run;
};

Attention::Impl handle_of(const SharedPattern& pattern, HandleKernels kernels) {
  const auto handle = make_handle(pattern, std::move(kernels));
  handle->threads = 1;
  return *handle;
}

// The median; the first run, which finds its memory, does not count.
Result<double> seconds_of(const Attention::Impl& impl, const Way& way) {
  std::vector<double> seconds;
  for (int i = 0; i <= kTimedRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Result<RunStats> stats = way.run(impl);
    if (!stats) return stats.diagnostics();
    if (i > 0) seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::nth_element(seconds, seconds.begin() + kTimedRuns / 2);
  return seconds[kTimedRuns / 2];
}

Result<study::CountedRun> run_both(const SharedPattern& pattern, const plan::KernelKey& key, const plan::CompilerDoor& door,
                                   const Way& way) {
  const Result<plan::CodeImage> plain = door.compile(key);
  if (!plain) return plain.diagnostics();
  const Result<plan::CountingImage> counting = door.compile_counting(key);
  if (!counting) return counting.diagnostics();
  study::CountedRun run{.blocks = counting->blocks, .counts = std::vector<std::int64_t>(counting->blocks.size())};
  Attention::Impl counter = handle_of(pattern, way.kernels(cache::load_image(key, counting->image)));
  counter.block_counts = run.counts.data();
  const Result<RunStats> stats = way.run(counter);
  if (!stats) return stats.diagnostics();
  run.scores_visited = stats->scores_visited;
  const Result<double> seconds = seconds_of(handle_of(pattern, way.kernels(cache::load_image(key, *plain))), way);
  if (!seconds) return seconds.diagnostics();
  run.seconds = *seconds;
  return run;
}

Way prefill_way(const RunArgs& args, const Call& call) {
  return {.kernels = [](cache::SharedKernel kernel) { return HandleKernels{.prefill = std::move(kernel)}; },
          .run = [&](const Attention::Impl& impl) { return attend_by_kernel(impl, args, call); }};
}

Way decode_way(const SharedPattern& pattern, const RunArgs& args, const Call& call) {
  return {.kernels =
              [&](const cache::SharedKernel& kernel) {
                return HandleKernels{.prefill = kernel, .decode = std::make_shared<DecodeKernel>(pattern->key, kernel)};
              },
          .run = [&](const Attention::Impl& impl) -> Result<RunStats> {
            if (decodes(*impl.pattern, call)) return attend(impl, args, call);
            return single_finding(
                "inspect", Finding::kInspectKernel,
                "this call takes the other one, having many query rows, or heads that share keys but not their mask");
          }};
}

// Every gradient of a loss that is the sum of the output, and the memory that they are written to.
struct Wanted {
  Gradients gradients;
  std::list<std::vector<std::byte>> storage;

  MutableTensorView like(const TensorView& tensor) {
    std::size_t bytes = size_of(tensor.dtype);
    for (int d = 0; d < tensor.rank; ++d) bytes *= static_cast<std::size_t>(tensor.shape[static_cast<std::size_t>(d)]);
    storage.emplace_back(bytes);
    return {storage.back().data(), tensor.dtype, std::span(tensor.shape).first(static_cast<std::size_t>(tensor.rank))};
  }
};

Wanted gradients_of_sum(const Pattern& pattern, const RunArgs& args, const std::vector<std::uint32_t>& buffers) {
  static constexpr float kOne = 1;
  Wanted wanted;
  TensorView& out = wanted.gradients.out;
  out = args.out;
  out.data = &kOne;
  out.dtype = DType::kF32;
  out.strides = {};
  wanted.gradients.q = wanted.like(args.q);
  wanted.gradients.k = wanted.like(args.k);
  wanted.gradients.v = wanted.like(args.v);
  for (std::uint32_t slot : buffers) {
    const TensorView& given = args.bindings->buffers.at(pattern.interface.buffers[slot].name);
    wanted.gradients.buffers[pattern.interface.buffers[slot].name] = wanted.like(given);
  }
  return wanted;
}

Result<study::CountedRun> run_backward_counted(const SharedPattern& pattern, const plan::KernelKey& key,
                                               const plan::CompilerDoor& door, const RunArgs& args, const Call& call) {
  const std::vector<plan::BufferSums> sums = plan::buffer_sums_of(key);
  std::vector<std::uint32_t> buffers;
  for (const plan::BufferSums& of : sums) buffers.push_back(of.buffer);
  std::ranges::sort(buffers);
  const Wanted wanted = gradients_of_sum(*pattern, args, buffers);
  const Result<BackwardCall> backward = check_backward(*pattern, args, wanted.gradients);
  if (!backward) return backward.diagnostics();
  // What the forward pass leaves is what is read.
  const Result<plan::CodeImage> image = door.compile(pattern->key->key);
  if (!image) return image.diagnostics();
  const cache::SharedKernel prefill = cache::load_image(pattern->key->key, *image);
  const Result<RunStats> forward = attend_by_kernel(handle_of(pattern, {.prefill = prefill}), args, call);
  if (!forward) return forward.diagnostics();
  return run_both(
      pattern, key, door,
      {.kernels =
           [&](const cache::SharedKernel& kernel) {
             BackwardKernels::Kernels kernels{{buffers, {.kernel = kernel, .sums = sums}}};
             return HandleKernels{.prefill = prefill, .backward = std::make_shared<BackwardKernels>(std::move(kernels))};
           },
       .run = [&](const Attention::Impl& impl) { return backward_by_kernel(impl, args, wanted.gradients, *backward); }});
}

}  // namespace

Result<study::CountedRun> run_counted(const std::shared_ptr<const Pattern>& pattern, const plan::KernelKey& key,
                                      const plan::CompilerDoor& door, const RunArgs& args) {
  const Result<Call> call = check_call(*pattern, args);
  if (!call) return call.diagnostics();
  switch (key.nest) {
    case plan::Nest::kPrefill: return run_both(pattern, key, door, prefill_way(args, *call));
    case plan::Nest::kDecode: return run_both(pattern, key, door, decode_way(pattern, args, *call));
    case plan::Nest::kBackward:
    case plan::Nest::kLinear:
    case plan::Nest::kLinearRows: break;  // the latter are refused before
  }
  return run_backward_counted(pattern, key, door, args, *call);
}

}  // namespace flexjit::engine
