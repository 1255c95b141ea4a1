// What a caller waits for before the first result, as JSON: a fresh process that finds its kernel on disk beside one that does
// nothing, a fresh process that must compile, a new and a known pattern in a process that has compiled before. Whole processes
// are timed from their start to their end, by the clock and by the processor time that they took, which other programs disturb
// less. Calls use one thread. Arguments: how many of each (100).
//
// The program starts itself for what it measures, with a role and a cache directory.
#include <flexjit/flexjit.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kOtherSource = 3;  // exit code of a first result that came from elsewhere than was measured
constexpr int kHasLlvm = 4;      // and of one from disk in a process that maps LLVM

double ms_since(Clock::time_point begin) { return std::chrono::duration<double, std::milli>(Clock::now() - begin).count(); }

flexjit::AttentionSpec alibi_causal(const std::string& slope) {
  flexjit::AttentionSpec spec;
  spec.score_mod = "score + " + slope + " * (kv_idx - q_idx)";
  spec.mask_mod = "q_idx >= kv_idx";
  return spec;
}

bool maps_llvm() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("LLVM") != std::string::npos || line.find("flexjit-compiler") != std::string::npos) return true;
  }
  return false;
}

// The whole life of a process that wants one result.
int first_result(const std::string& directory, flexjit::KernelSource expected) {
  flexjit::EngineOptions options;
  options.threads = 1;
  options.cache_dir = directory;
  flexjit::Engine engine(options);
  const flexjit::Attention attention = engine.compile(alibi_causal("0.5")).value();
  std::vector<float> x(std::size_t{64} * 64, 0.1F), out(x.size());
  flexjit::RunArgs args;
  args.q = args.k = args.v = flexjit::TensorView(x.data(), flexjit::DType::kF32, {1, 1, 64, 64});
  args.out = flexjit::MutableTensorView(out.data(), flexjit::DType::kF32, {1, 1, 64, 64});
  attention.run(args).value();
  if (attention.kernel_source() != expected) return kOtherSource;
  return expected == flexjit::KernelSource::kDisk && maps_llvm() ? kHasLlvm : 0;
}

// What something costs by the clock and in processor time, of user and system.
struct Costs {
  std::vector<double> clock_ms, cpu_ms;
};

double cpu_ms(const rusage& usage) {
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

// One more process, from its start to its end; the program fails when that does.
void add_process(Costs& costs, std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const Clock::time_point begin = Clock::now();
  pid_t process = 0;
  int status = 0;
  rusage usage{};
  const int error = ::posix_spawn(&process, argv[0], nullptr, nullptr, argv.data(), environ);
  if (error != 0 || ::wait4(process, &status, 0, &usage) < 0 || status != 0) {
    fmt::print(stderr, "warm_start: {} ended with status {:#x}\n", fmt::join(words, " "), status);
    std::exit(1);
  }
  costs.clock_ms.push_back(ms_since(begin));
  costs.cpu_ms.push_back(cpu_ms(usage));
}

nlohmann::json summary_of(std::vector<double> values) {
  std::ranges::sort(values);
  return {{"min", values.front()}, {"median", values[values.size() / 2]}, {"p90", values[values.size() * 9 / 10]}};
}

nlohmann::json summary_of(const Costs& costs) {
  return {{"clock_ms", summary_of(costs.clock_ms)}, {"cpu_ms", summary_of(costs.cpu_ms)}};
}

// Of each process, less the one that did nothing just before it.
Costs difference(Costs costs, const Costs& nothing) {
  std::ranges::transform(costs.clock_ms, nothing.clock_ms, costs.clock_ms.begin(), std::minus<>());
  std::ranges::transform(costs.cpu_ms, nothing.cpu_ms, costs.cpu_ms.begin(), std::minus<>());
  return costs;
}

// Patterns that no cache has seen, compiled by an engine that has the compiler open.
Costs new_patterns(flexjit::Engine& engine, int count) {
  Costs costs;
  rusage before{}, after{};
  for (int i = 1; i <= count; ++i) {
    const Clock::time_point begin = Clock::now();
    ::getrusage(RUSAGE_SELF, &before);
    engine.compile(alibi_causal(fmt::format("{}.25", i))).value();
    ::getrusage(RUSAGE_SELF, &after);
    costs.clock_ms.push_back(ms_since(begin));
    costs.cpu_ms.push_back(cpu_ms(after) - cpu_ms(before));
  }
  return costs;
}

std::vector<double> known_pattern_ns(flexjit::Engine& engine, int count) {
  constexpr int kBatch = 1000;
  std::vector<double> times;
  const flexjit::AttentionSpec spec = alibi_causal("1.25");
  for (int i = 0; i < count; ++i) {
    const Clock::time_point begin = Clock::now();
    for (int j = 0; j < kBatch; ++j) engine.compile(spec).value();
    times.push_back(ms_since(begin) * 1e6 / kBatch);
  }
  return times;
}

nlohmann::json measure(const std::string& self, const std::string& folder, int count) {
  const std::string empty = fs::path(self).replace_filename("empty_process").string(), warm = folder + "/warm";
  Costs first, nothing, from_disk, compiled;
  add_process(first, {self, "compile", warm});
  for (int i = 0; i < count; ++i) {
    add_process(nothing, {empty});
    add_process(from_disk, {self, "find", warm});
    add_process(compiled, {self, "compile", fmt::format("{}/cold-{}", folder, i)});
  }
  flexjit::EngineOptions options;
  options.cache_dir = folder + "/own";
  flexjit::Engine engine(options);
  engine.compile(alibi_causal("0.5")).value();
  return {{"repeats", count},
          {"machine", flexjit::describe_host()},
          {"process_that_does_nothing", summary_of(nothing)},
          {"process_with_kernel_on_disk", summary_of(from_disk)},
          {"kernel_on_disk_over_nothing", summary_of(difference(from_disk, nothing))},
          {"llvm_mapped_with_kernel_on_disk", false},  // else add_process would have ended this
          {"process_that_compiles", summary_of(compiled)},
          {"new_pattern_in_a_warm_process", summary_of(new_patterns(engine, count))},
          {"known_pattern_ns", summary_of(known_pattern_ns(engine, count))}};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view role = argc == 3 ? argv[1] : "";
  if (role == "find") return first_result(argv[2], flexjit::KernelSource::kDisk);
  if (role == "compile") return first_result(argv[2], flexjit::KernelSource::kCompiled);
  const int count = argc > 1 ? std::atoi(argv[1]) : 100;
  if (count < 1) {
    fmt::print(stderr, "warm_start: `{}` is no number of repeats; give 1 or more\n", argv[1]);
    return 2;
  }
  std::string folder = (fs::temp_directory_path() / "flexjit-warm-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) {
    fmt::print(stderr, "warm_start: cannot make a folder in {}\n", fs::temp_directory_path().string());
    return 1;
  }
  fmt::print("{}\n", measure(fs::canonical("/proc/self/exe"), folder, count).dump(2));
  fs::remove_all(folder);
}
