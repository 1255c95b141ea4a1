// presets.def -> the table of named patterns, with their whole texts put together once.
#include "flexjit/presets.h"

#include <algorithm>
#include <string>
#include <vector>

#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "dsl/findings/spelling.h"

namespace flexjit {

namespace {

std::string whole_text(const Preset& preset) {
  std::string text(preset.declarations);
  if (!preset.score_mod.empty()) text += "score = " + std::string(preset.score_mod) + "\n";
  if (!preset.mask_mod.empty()) text += "mask = " + std::string(preset.mask_mod) + "\n";
  return text;
}

std::vector<Preset> make_presets() {
  static const Preset kListed[] = {
#define FLEXJIT_PRESET(name, summary, declarations, score_mod, mask_mod) {name, summary, declarations, score_mod, mask_mod, ""},
#include "pattern/presets.def"
#undef FLEXJIT_PRESET
  };
  static std::vector<std::string> texts;  // that Preset::text refers to
  texts.clear();                          // where memory ran out, this is done again
  for (const Preset& preset : kListed) texts.push_back(whole_text(preset));
  std::vector<Preset> presets(std::begin(kListed), std::end(kListed));
  for (std::size_t i = 0; i < presets.size(); ++i) presets[i].text = texts[i];
  return presets;
}

}  // namespace

std::span<const Preset> presets() {
  static const std::vector<Preset> table = make_presets();
  return table;
}

Result<Preset> find_preset(std::string_view name) {
  return engine::guarded("find_preset", [&]() -> Result<Preset> {
    const std::span<const Preset> table = presets();
    const auto found = std::ranges::find(table, name, &Preset::name);
    if (found != table.end()) return *found;
    std::vector<std::string_view> names;
    for (const Preset& preset : table) names.push_back(preset.name);
    return engine::single_finding("find_preset", engine::Finding::kUnknownPreset, name, dsl::did_you_mean(name, names));
  });
}

}  // namespace flexjit
