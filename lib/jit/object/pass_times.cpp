// LLVM prints its timers as members of a JSON object, "time.pass.greedy.wall": seconds. A pass that runs twice is two members
// of one name, so that members are summed as they are read.
#include "jit/object/pass_times.h"

#include <llvm/Pass.h>
#include <llvm/Support/Timer.h>
#include <llvm/Support/raw_ostream.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "support/check.h"

namespace flexjit::jit {

std::vector<plan::PhaseTime> times_of_passes(llvm::function_ref<void()> work) {
  llvm::TimePassesIsEnabled = true;
  work();
  llvm::TimePassesIsEnabled = false;
  std::string members;
  llvm::raw_string_ostream out(members);
  llvm::TimerGroup::printAllJSONValues(out, "");
  llvm::TimerGroup::clearAll();  // else they would be printed when the process ends
  constexpr std::string_view kBefore = "time.pass.", kAfter = ".wall";
  std::map<std::string, double> seconds;
  using Json = nlohmann::json;
  std::string name;  // of the last member; empty for other timers
  const auto add = [&](int, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::key) {
      name = parsed.get<std::string>();
      const bool counts = name.starts_with(kBefore) && name.ends_with(kAfter);
      name = counts ? name.substr(kBefore.size(), name.size() - kBefore.size() - kAfter.size()) : "";
    } else if (event == Json::parse_event_t::value && !name.empty()) {
      seconds[name] += parsed.get<double>();
    }
    return true;
  };
  const Json timers = Json::parse("{" + members + "}", add);
  FLEXJIT_CHECK(timers.is_object(), members);
  std::vector<plan::PhaseTime> times;
  for (const auto& [pass, value] : seconds) times.push_back({pass, value * 1e3});
  return times;
}

}  // namespace flexjit::jit
