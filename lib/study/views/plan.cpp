// KernelKey -> its tiles, registers and scratch, each with what bounds it: which register file, cache or rule. Here what does
// not depend on the nest.
#include <fmt/format.h>

#include "plan/sizes/prefill.h"
#include "study/views/plan_text.h"
#include "study/views/view.h"

namespace flexjit::study {
namespace {

std::string_view arithmetic_name(plan::Arithmetic arithmetic) {
  switch (arithmetic) {
    case plan::Arithmetic::kF32: return "fp32";
    case plan::Arithmetic::kBF16: return "bf16 pairs into fp32";
    case plan::Arithmetic::kF64: return "fp64";
  }
  return "";
}

}  // namespace

void PlanText::line(std::string_view label, const std::string& words) { text += fmt::format("{:<11} {}\n", label, words); }

void PlanText::add_kernel(const plan::KernelKey& key) {
  const plan::ElementTypes& types = key.types;
  const plan::Arithmetic arithmetic = plan::arithmetic_of(key);
  const plan::Caches caches = plan::caches_of(key.target);
  const std::int32_t lanes = plan::layout_of(key).lanes;
  line("kernel", fmt::format("{}; q {}, kv {}, out {}; head_dim {}, v_head_dim {}; {} weights", plan::name_of(key.nest),
                             flexjit::name_of(types.q), flexjit::name_of(types.kv), flexjit::name_of(types.out), key.head_dim,
                             key.v_head_dim, plan::name_of(key.weights)));
  const std::string tuning = key.target.tuning.empty() ? "any processor" : key.target.tuning;
  line("target", fmt::format("{}, scheduled for {}", plan::name_of(key.target), tuning));
  line("arithmetic", fmt::format("{}, {} lanes of a vector", arithmetic_name(arithmetic), lanes));
  const bool measured = plan::can_execute(key.target);
  line("caches", fmt::format("L1 {} KiB, L2 {} KiB a core ({})", caches.l1 >> 10, caches.l2 >> 10,
                             measured ? "this machine's" : "assumed: this machine cannot execute the target"));
  json["nest"] = plan::name_of(key.nest);
  json["target"] = plan::name_of(key.target);
  json["tuning"] = key.target.tuning;
  json["head_dim"] = key.head_dim;
  json["v_head_dim"] = key.v_head_dim;
  json["types"] = {{"q", flexjit::name_of(types.q)}, {"kv", flexjit::name_of(types.kv)}, {"out", flexjit::name_of(types.out)}};
  json["weights"] = plan::name_of(key.weights);
  json["arithmetic"] = arithmetic_name(arithmetic);
  json["lanes"] = lanes;
  json["caches"] = {{"l1", caches.l1}, {"l2", caches.l2}, {"measured", measured}};
}

void PlanText::add_scratch(const plan::KernelKey& key, const std::vector<ScratchSection>& sections) {
  const plan::Caches caches = plan::caches_of(key.target);
  const std::int64_t all = plan::layout_of(key).scratch_bytes;
  line("scratch", fmt::format("{} bytes a thread, {}", all,
                              all <= caches.l1 ? "within L1" : (all <= caches.l2 ? "within L2" : "larger than L2")));
  json["scratch"] = {{"bytes", all}, {"sections", Json::array()}};
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const ScratchSection& section = sections[i];
    const std::int64_t bytes = (i + 1 < sections.size() ? sections[i + 1].begin : all) - section.begin;
    if (bytes == 0) continue;
    text += fmt::format("  {:<16} {:>8}  {}\n", section.name, bytes, section.contents);
    json["scratch"]["sections"].push_back({{"name", section.name}, {"offset", section.begin}, {"bytes", bytes}});
  }
}

Result<ViewResult> make_plan_view(const Subject& subject) {
  PlanText plan;
  plan.add_kernel(subject.key);
  switch (subject.key.nest) {
    case plan::Nest::kPrefill: add_prefill_plan(subject.key, plan); break;
    case plan::Nest::kDecode: add_decode_plan(subject.key, plan); break;
    case plan::Nest::kBackward: add_backward_plan(subject.key, plan); break;
    case plan::Nest::kLinear:
    case plan::Nest::kLinearRows: break;  // refused before
  }
  return ViewResult{std::move(plan.text), std::move(plan.json)};
}

}  // namespace flexjit::study
