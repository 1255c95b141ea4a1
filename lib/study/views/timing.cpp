// Measured times -> a table of phases, and LLVM's passes by what they do.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "study/views/view.h"

namespace flexjit::study {
namespace {

// LLVM's names of the passes that take most of a compilation.
constexpr std::pair<std::string_view, std::string_view> kGroups[] = {
    {"x86-isel", "instruction selection"},
    {"aarch64-isel", "instruction selection"},
    {"finalize-isel", "instruction selection"},
    {"greedy", "register allocation"},
    {"virtregrewriter", "register allocation"},
    {"register-coalescer", "register allocation"},
    {"liveintervals", "register allocation"},
    {"livevars", "register allocation"},
    {"slotindexes", "register allocation"},
    {"phi-node-elimination", "register allocation"},
    {"twoaddressinstruction", "register allocation"},
    {"rename-independent-subregs", "register allocation"},
    {"stack-slot-coloring", "register allocation"},
    {"machine-scheduler", "scheduling"},
    {"post-RA-sched", "scheduling"},
    {"postmisched", "scheduling"},
    {"x86-asm-printer", "encoding"},
    {"aarch64-asm-printer", "encoding"},
};

std::string_view group_of(std::string_view pass) {
  const auto* found = std::ranges::find(kGroups, pass, &std::pair<std::string_view, std::string_view>::first);
  return found != std::end(kGroups) ? found->second : "other passes";
}

using Times = std::vector<plan::PhaseTime>;

Times sorted(Times times) {
  std::ranges::sort(times, std::ranges::greater(), &plan::PhaseTime::ms);
  return times;
}

Times by_group(const Times& passes) {
  std::map<std::string_view, double> groups;
  for (const plan::PhaseTime& pass : passes) groups[group_of(pass.name)] += pass.ms;
  Times times;
  for (const auto& [name, ms] : groups) times.push_back({std::string(name), ms});
  return sorted(std::move(times));
}

double total(const Times& times) {
  double sum = 0;
  for (const plan::PhaseTime& time : times) sum += time.ms;
  return sum;
}

std::string table(const Times& times) {
  std::string text;
  const double all = total(times);
  for (const plan::PhaseTime& time : times)
    text += fmt::format("  {:<24} {:>9.3f} ms {:>6.1f} %\n", time.name, time.ms, all > 0 ? 100 * time.ms / all : 0);
  return text;
}

Json times_json(const Times& times) {
  Json json = Json::array();
  for (const plan::PhaseTime& time : times) json.push_back({{"name", time.name}, {"ms", time.ms}});
  return json;
}

}  // namespace

Result<ViewResult> make_timing_view(const Subject& subject) {
  constexpr std::size_t kShownPasses = 12;
  const PhaseTimes& times = subject.times;
  const Times groups = by_group(times.passes), passes = sorted(times.passes);
  ViewResult view;
  view.text = fmt::format("phases, median of {}: {:.3f} ms\n{}", times.repetitions, total(times.phases), table(times.phases));
  view.text +=
      fmt::format("\ncode generation in one further run, timed pass by pass: {:.3f} ms\n{}", total(groups), table(groups));
  view.text += "\nits longest passes, by LLVM's names\n" +
               table({passes.begin(), passes.begin() + static_cast<std::ptrdiff_t>(std::min(kShownPasses, passes.size()))});
  view.json = {{"repetitions", times.repetitions},
               {"phases", times_json(times.phases)},
               {"total_ms", total(times.phases)},
               {"pass_groups", times_json(groups)},
               {"passes", times_json(passes)}};
  return view;
}

}  // namespace flexjit::study
