// One question to the compiler's door, and sums over its answer.
#include "study/subject/listing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace flexjit::study {
namespace {

constexpr std::array<plan::Part, 4> kProducts = {plan::Part::kQueryKey, plan::Part::kWeightsValues, plan::Part::kKeyGradients,
                                                 plan::Part::kQueryGradients};

// One vector of multiply-adds; on baseline x86-64, of the multiplications, whose additions follow.
bool multiplies(std::string_view text) {
  constexpr std::array<std::string_view, 6> kNames = {"vfmadd", "vdpbf16ps", "fmla", "mulps", "mulpd", "vmulps"};
  return std::ranges::any_of(kNames, [&](std::string_view name) { return text.starts_with(name); });
}

}  // namespace

Result<const plan::CodeListing*> list_code(const Subject& subject) {
  if (!subject.listing) {
    const Result<const plan::CompilerDoor*> door = subject.open_compiler();
    if (!door) return door.diagnostics();
    Result<plan::CodeListing> listed = (*door)->list_code(subject.key, plan::Costs::kSimulated);
    if (!listed) return listed.diagnostics();
    subject.listing = std::move(*listed);
  }
  return &*subject.listing;
}

double multiply_adds(const plan::CodeBlock& block, const plan::KernelKey& key) {
  const plan::Arithmetic arithmetic = plan::arithmetic_of(key);
  const double lanes = plan::lanes_of(key.target.isa, arithmetic) * plan::facts_of(arithmetic).elements_of_cell;
  const auto counts = [](const plan::CodeInstruction& instruction) {
    const auto& from = instruction.from;
    return from && std::ranges::find(kProducts, from->part) != kProducts.end() && multiplies(instruction.text);
  };
  return lanes * static_cast<double>(std::ranges::count_if(block.instructions, counts));
}

std::string bottleneck(const plan::BlockCost& cost, std::int32_t issue_width) {
  constexpr double kNearly = 0.93;
  if (cost.cycles <= 0) return "nothing";
  if (!cost.ports.empty() && cost.ports.front().second >= kNearly * cost.cycles) return "port " + cost.ports.front().first;
  if (cost.micro_ops >= kNearly * issue_width * cost.cycles) return fmt::format("{} micro-operations a cycle", issue_width);
  return "latency";
}

std::string name_of(const plan::CodeBlock& block) { return block.name.empty() ? block.label : block.name; }

Json cost_json(const plan::CodeBlock& block, std::int32_t issue_width) {
  if (!block.cost) return nullptr;
  Json ports = Json::object();
  for (const auto& [port, busy] : block.cost->ports) ports[port] = busy;
  return {{"cycles", block.cost->cycles},
          {"micro_ops", block.cost->micro_ops},
          {"ports", std::move(ports)},
          {"bottleneck", bottleneck(*block.cost, issue_width)}};
}

}  // namespace flexjit::study
