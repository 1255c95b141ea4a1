// What a session shows of its pattern: a picture of the mask without a kernel, and a short measurement of the kernel.
#include <fmt/format.h>

#include <algorithm>

#include "data/pattern.h"
#include "measure/timing.h"
#include "repl/session.h"

namespace flexjit::tools {
namespace {

constexpr std::int32_t kPictureSide = 24;  // characters
constexpr double kEnoughMs = 150;
constexpr std::size_t kMaxRuns = 50;

}  // namespace

Session::Session(const ReplOptions& options) {
  options_.threads = resolve_threads(options.threads);
  options_.target = options.target;
  options_.sizes = options.sizes;
  options_.dtypes = options.dtypes;
  options_.names = with_flag_files(options.names, options.pattern.flags);
  options_.pattern.flags = options.pattern.flags;
  if (!options_.sizes.q_len) options_.sizes.q_len = 1024;
}

AttentionSpec Session::spec(const Text& text) const {
  AttentionSpec spec = flags_;
  spec.program = text.program() + (text.has_result() ? "" : "score = score\n");
  spec.program_name = "session";
  apply_options(options_, sizes_without_files(options_.sizes), spec);
  return spec;
}

NameOptions Session::names_of(const Attention& attention) const {
  NameOptions names = options_.names;
  const auto drop_unknown = [](std::vector<std::string>& bound, const auto& declared) {
    std::erase_if(bound, [&](const std::string& binding) {
      const std::string name = binding.substr(0, binding.find('='));
      return std::ranges::none_of(declared, [&](const auto& known) { return known.name == name; });
    });
  };
  drop_unknown(names.params, attention.params());
  drop_unknown(names.buffers, attention.buffers());
  return names;
}

Result<std::string> Session::picture() const {
  EngineOptions options;
  options.backend = Backend::kReference;
  const AttentionSpec pattern = spec(text_);
  const Result<Attention> attention = Engine(options).compile(pattern);
  if (!attention) return attention.diagnostics();
  const Sizes sizes = sizes_without_files(options_.sizes);
  NameOptions wanted = names_of(*attention);
  wanted.unread = unread_by_mask(pattern, *attention, sizes);
  const Result<BoundNames> names = bind_names(*attention, wanted, sizes);
  if (!names) return names.diagnostics();
  BlockMaskOptions blocks = mask_options_of(sizes);
  blocks.q_block = std::max((blocks.q_len + kPictureSide - 1) / kPictureSide, 1);
  blocks.kv_block = std::max((blocks.kv_len + kPictureSide - 1) / kPictureSide, 1);
  const Result<BlockMask> mask = attention->create_block_mask(blocks, &names->bindings);
  if (!mask) return mask.diagnostics();
  const BlockCounts counts = mask->counts();
  std::string text = fmt::format("{} full (#), {} partial (+) and {} empty blocks of {} x {} pairs\n", counts.full,
                                 counts.partial, counts.empty, blocks.q_block, blocks.kv_block);
  const std::string drawn = mask->to_string(0, 0, kPictureSide);
  for (std::size_t begin = 0; begin < drawn.size();) {
    const std::size_t end = drawn.find('\n', begin);
    text += "  |" + drawn.substr(begin, end - begin) + "|\n";
    begin = end + 1;
  }
  return text;
}

// After a stop the result is of no use to anyone.
Result<Speed> Session::measure(const std::stop_token& stop) const {
  Result<Problem> problem = make_problem(options_);
  if (!problem) return problem.diagnostics();
  EngineOptions options;
  options.threads = options_.threads;
  options.target = options_.target;
  const Result<Attention> attention = Engine(options).compile(spec(text_));
  if (!attention) return attention.diagnostics();
  const Result<BoundNames> names = bind_names(*attention, names_of(*attention), problem->sizes, inputs_of(options_));
  if (!names) return names.diagnostics();
  Outputs outputs{problem->make_output(), problem->make_lse()};
  const RunArgs args = arguments_of(*problem, outputs, names->bindings);
  const Result<std::int64_t> allowed = attention->count_allowed(mask_options_of(problem->sizes), &names->bindings);
  if (!allowed) return allowed.diagnostics();
  Speed speed{.compile_ms = attention->compile_ms(), .work = work_of(*problem, *allowed)};
  LimitMeter meter(*problem, speed.work, options_.target, options_.threads);
  if (const auto warm = attention->run(args); !warm) return warm.diagnostics();
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.empty() || (times.size() < kMaxRuns && ms_since(begin) < kEnoughMs)) {
    if (stop.stop_requested()) return speed;
    meter.before_run();
    const auto before = Clock::now();
    if (const auto again = attention->run(args); !again) return again.diagnostics();
    times.push_back(ms_since(before));
    meter.after_run(times.back());
  }
  speed.run_ms = median(std::move(times));
  speed.limit = meter.finish(speed.run_ms);
  return speed;
}

}  // namespace flexjit::tools
