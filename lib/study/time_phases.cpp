// Calls the functions that prepare_pattern and the kernel cache call, on the same values, and keeps the median of each.
#include "study/time_phases.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "cache/code_memory.h"
#include "diagnostics/report.h"
#include "dsl/check/check.h"
#include "dsl/parse/parser.h"
#include "ir/lower/lower.h"
#include "ir/passes/passes.h"
#include "pattern/flags.h"
#include "plan/sizes/backward.h"
#include "plan/sizes/decode.h"

namespace flexjit::engine {
namespace {

constexpr int kRepetitions = 7;

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) { return std::chrono::duration<double, std::milli>(Clock::now() - begin).count(); }

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

double median_ms(const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto begin = Clock::now();
    work();
    times.push_back(ms_since(begin));
  }
  return median(std::move(times));
}

void parse_all(const dsl::Source& source) {
  for (const auto* text : {&source.file, &source.score, &source.mask}) {
    if (!*text) continue;
    dsl::DiagnosticEngine silent({&**text, 1});
    dsl::parse(**text, 0, text == &source.file ? dsl::Form::kFile : dsl::Form::kExpression, silent);
  }
}

// What became of the text at each step; the spec has been compiled before, so that nothing here can fail.
std::vector<plan::PhaseTime> time_front_end(const AttentionSpec& spec, const Pattern& pattern, const plan::KernelKey& key) {
  const dsl::Source& source = pattern.source;
  const dsl::Checked checked = dsl::check_source(source).value();
  const ir::Program simplified = ir::simplify(pattern.lowered);
  const ir::Program proved = ir::prove_reads(simplified, pattern.interface);
  std::vector<plan::PhaseTime> phases;
  const double parse = median_ms([&] { parse_all(source); });
  const double check = median_ms([&] { dsl::check_source(source).value(); });
  phases.push_back({"parse", parse});
  phases.push_back({"check", std::max(check - parse, 0.0)});  // it parses itself
  const auto add = [&](const char* name, const std::function<void()>& work) { phases.push_back({name, median_ms(work)}); };
  add("lower", [&] { ir::lower_checked(checked).value(); });
  const ir::Lowered text = ir::lower_checked(checked).value();
  add("flags", [&] {
    Report report("inspect");
    compose_flags(spec, text, report);
  });
  add("simplify", [&] { ir::simplify(pattern.lowered); });
  add("prove reads", [&] { ir::prove_reads(simplified, pattern.interface); });
  add("simplify again", [&] { ir::simplify(proved); });
  std::vector<std::uint32_t> buffers;
  switch (key.nest) {
    case plan::Nest::kPrefill: add("plan", [&] { prefill_key_of(pattern, key.target); }); break;
    case plan::Nest::kDecode: add("plan", [&] { plan::decode_key_of(pattern.key->key); }); break;
    case plan::Nest::kBackward:
      for (const plan::BufferSums& sums : plan::buffer_sums_of(key)) buffers.push_back(sums.buffer);
      add("differentiate", [&] { ir::differentiate(pattern.program, buffers); });
      add("simplify the derivative",
          [&, derivative = ir::differentiate(pattern.program, buffers)] { ir::simplify(derivative); });
      add("plan", [&] { plan::backward_key_of(pattern.key->key, key.program); });
      break;
    case plan::Nest::kLinear:
    case plan::Nest::kLinearRows: break;  // refused before
  }
  return phases;
}

}  // namespace

Result<study::PhaseTimes> time_phases(const AttentionSpec& spec, const Pattern& pattern, const plan::KernelKey& key,
                                      const plan::CompilerDoor& door) {
  study::PhaseTimes times{.repetitions = kRepetitions, .phases = time_front_end(spec, pattern, key)};
  std::vector<plan::CodeImage> images;
  for (int i = 0; i < kRepetitions; ++i) {
    Result<plan::CodeImage> image = door.compile(key);
    if (!image) return image.diagnostics();
    images.push_back(std::move(*image));
  }
  for (std::size_t phase = 0; phase < images.front().phases.size(); ++phase) {
    std::vector<double> ms;
    for (const plan::CodeImage& image : images) ms.push_back(image.phases[phase].ms);
    times.phases.push_back({images.front().phases[phase].name, median(std::move(ms))});
  }
  times.phases.push_back({"map", median_ms([&] { const cache::CodeMemory mapped(images.front().bytes); })});
  Result<std::vector<plan::PhaseTime>> passes = door.time_passes(key);
  if (!passes) return passes.diagnostics();
  times.passes = std::move(*passes);
  return times;
}

}  // namespace flexjit::engine
