// One call: how much it computes and reads, how long the model of the processor says that it takes (what each block costs times
// how often it runs), and how long it takes.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "study/subject/listing.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

using Counts = std::map<std::string, std::int64_t, std::less<>>;

struct PartCost {
  double cycles = 0;
  double multiply_adds = 0;
};

struct Prediction {
  double cycles = 0;
  std::map<plan::Part, PartCost> parts;
  Json blocks = Json::array();  // in the order of the code
};

// Blocks that the code generator made run as often as the block that falls into them.
Prediction predict(const plan::CodeListing& listing, const Counts& counts, const plan::KernelKey& key) {
  Prediction prediction;
  for (const plan::CodeFunction& function : listing.functions) {
    std::int64_t count = 0;
    for (const plan::CodeBlock& block : function.blocks) {
      const auto found = counts.find(function.name + "/" + block.name);
      if (found != counts.end()) count = found->second;
      if (!block.cost || block.instructions.empty()) continue;
      const double cycles = block.cost->cycles * static_cast<double>(count);
      prediction.cycles += cycles;
      prediction.blocks.push_back({{"function", function.name},
                                   {"block", name_of(block)},
                                   {"label", block.label},
                                   {"passes", count},
                                   {"cycles", cycles}});
      const auto& from = block.instructions.front().from;
      PartCost& part = prediction.parts[from ? from->part : plan::Part::kLoops];
      part.cycles += cycles;
      part.multiply_adds += multiply_adds(block, key) * static_cast<double>(count);
    }
  }
  return prediction;
}

struct Roofline {
  double flops = 0;
  double bytes = 0;                      // that the kernel must read or write
  double intensity = 0;                  // flops a byte
  double limit_gflops = 0;               // at this intensity
  double measured_gflops = 0;            // useful
  double predicted_percent_of_peak = 0;  // of useful multiply-adds, by the model, which finds all loads in the first cache
  bool is_predicted_by_reading = false;  // which allows less than the model
  double measured_percent_of_peak = 0;
};

// Backward: q k^T once more, dO v^T, P^T dO, dS k and dS^T q.
double multiply_adds_of_pair(const plan::KernelKey& key) {
  const bool backward = key.nest == plan::Nest::kBackward;
  return backward ? 3.0 * key.head_dim + 2.0 * key.v_head_dim : 1.0 * key.head_dim + key.v_head_dim;
}

// The decode nest reads no keys but those that it visits; the prefill nest packs all.
double bytes_of(const Subject& subject, const CountedRun& run) {
  const CallSize& size = subject.call_size;
  const bool decodes = subject.key.nest == plan::Nest::kDecode && size.scores > 0;
  const double visited = decodes ? static_cast<double>(run.scores_visited) / size.scores : 1;
  return size.other_bytes + visited * size.kv_bytes;
}

Roofline roofline_of(const Subject& subject, const plan::CodeListing& listing, const Prediction& prediction,
                     const CountedRun& run) {
  Roofline line;
  const double scores = static_cast<double>(subject.call_size.allowed_scores), seconds = run.seconds;
  line.flops = 2 * scores * multiply_adds_of_pair(subject.key);
  line.bytes = bytes_of(subject, run);
  line.intensity = line.bytes > 0 ? line.flops / line.bytes : 0;
  line.limit_gflops = std::min(subject.limits.gflops, line.intensity * subject.limits.read_gbps);
  line.measured_gflops = seconds > 0 ? line.flops / seconds / 1e9 : 0;
  const double most = prediction.cycles * listing.peak_multiply_adds;
  if (most > 0) line.predicted_percent_of_peak = 100 * line.flops / 2 / most;
  if (subject.limits.gflops <= 0) return line;
  line.measured_percent_of_peak = 100 * line.measured_gflops / subject.limits.gflops;
  const double reading = 100 * line.limit_gflops / subject.limits.gflops;
  line.is_predicted_by_reading = subject.limits.read_gbps > 0 && reading < line.predicted_percent_of_peak;
  if (line.is_predicted_by_reading) line.predicted_percent_of_peak = reading;
  return line;
}

std::string text_of(const Subject& subject, const Roofline& line, const Prediction& prediction, double seconds) {
  std::string text = fmt::format(
      "useful work           {:.3f} GFLOP over {} allowed scores\nbytes                 {:.3f} MB of tensors and buffers\n"
      "arithmetic intensity  {:.1f} FLOP a byte\n",
      line.flops / 1e9, subject.call_size.allowed_scores, line.bytes / 1e6, line.intensity);
  if (subject.limits.gflops > 0)
    text += fmt::format("limit                 {:.1f} GFLOP/s, by {} ({:.1f} GFLOP/s, {:.1f} GB/s)\n", line.limit_gflops,
                        line.limit_gflops < subject.limits.gflops ? "reading" : "arithmetic", subject.limits.gflops,
                        subject.limits.read_gbps);
  text += fmt::format("measured              {:.3f} ms, {:.1f} GFLOP/s", seconds * 1e3, line.measured_gflops);
  if (subject.limits.gflops > 0) text += fmt::format(", {:.1f} % of the peak", line.measured_percent_of_peak);
  text += fmt::format("\npredicted             {:.0f} cycles, {:.1f} % of the peak{}\n\n{:<16} {:>14} {:>7}\n",
                      prediction.cycles, line.predicted_percent_of_peak,
                      line.is_predicted_by_reading ? ", all that reading allows" : " of the model", "part", "cycles", "share");
  for (const auto& [part, cost] : prediction.parts)
    text +=
        fmt::format("{:<16} {:>14.0f} {:>5.1f} %\n", plan::title_of(part), cost.cycles, 100 * cost.cycles / prediction.cycles);
  return text;
}

}  // namespace

Result<ViewResult> make_roofline_view(const Subject& subject) {
  if (!subject.run) {
    return ViewResult{"this view runs a call: give one, and a target that this machine can execute\n", {{"measured", nullptr}}};
  }
  const Result<const plan::CodeListing*> listed = list_code(subject);
  if (!listed) return listed.diagnostics();
  const plan::CodeListing* listing = *listed;
  const Result<CountedRun> run = subject.run();
  if (!run) return run.diagnostics();
  Counts counts;
  for (std::size_t i = 0; i < run->blocks.size(); ++i) counts[run->blocks[i]] = run->counts[i];
  const Prediction prediction = predict(*listing, counts, subject.key);
  const Roofline line = roofline_of(subject, *listing, prediction, *run);
  Json parts = Json::object();
  for (const auto& [part, cost] : prediction.parts)
    parts[std::string(plan::title_of(part))] = {{"cycles", cost.cycles}, {"multiply_adds", cost.multiply_adds}};
  return ViewResult{text_of(subject, line, prediction, run->seconds),
                    {{"flops", line.flops},
                     {"bytes", line.bytes},
                     {"intensity", line.intensity},
                     {"peak_gflops", subject.limits.gflops},
                     {"read_gbps", subject.limits.read_gbps},
                     {"limit_gflops", line.limit_gflops},
                     {"scores_visited", run->scores_visited},
                     {"allowed_scores", subject.call_size.allowed_scores},
                     {"measured_ms", run->seconds * 1e3},
                     {"measured_gflops", line.measured_gflops},
                     {"measured_percent_of_peak", line.measured_percent_of_peak},
                     {"predicted_cycles", prediction.cycles},
                     {"predicted_percent_of_peak", line.predicted_percent_of_peak},
                     {"predicted_by", line.is_predicted_by_reading ? "reading" : "cycles"},
                     {"parts", std::move(parts)},
                     {"blocks", prediction.blocks}}};
}

}  // namespace flexjit::study
