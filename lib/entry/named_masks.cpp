// The names of FlexFlashInfer's masks -> their texts.
#include <cctype>

#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "flexjit/flex_flash_infer.h"

namespace flexjit {

namespace engine {

namespace {

// What a name needs to become a text; findings where it is missing or out of range.
struct NamedMask {
  std::string_view name;
  const MaskSizes& sizes;
  Report& report;

  std::int32_t size(const char* what, std::optional<std::int32_t> given, std::int32_t least) const {
    if (!given)
      report.add(Finding::kBadOption, "mask", name, fmt::format("it needs {} beside it", what));
    else if (*given < least)
      report.add(Finding::kBadOption, what, *given, fmt::format("it must be {} or more", least));
    return given.value_or(least);
  }
  std::int32_t window() const { return size("window_size", sizes.window_size, 0); }
  std::int32_t chunk() const { return size("chunk_size", sizes.chunk_size, 1); }

  std::string text() const {
    std::string lower(name);
    for (char& letter : lower) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    if (lower == "full") return "true";
    if (lower == "causal") return "q_idx >= kv_idx";
    if (lower == "sliding_window") return fmt::format("q_idx >= kv_idx && q_idx - kv_idx <= {}", window());
    if (lower == "attamba") {
      const std::int32_t near = window(), each = chunk();
      return fmt::format("q_idx >= kv_idx && ((kv_idx + 1) % {} == 0 || q_idx - kv_idx < {})", each, near);
    }
    report.add(Finding::kBadOption, "mask", name, "it must be causal, sliding_window, attamba or full, or the text of a mask");
    return {};
  }
};

}  // namespace
}  // namespace engine

Result<std::string> get_mask_fn(std::string_view mask_type, const MaskSizes& sizes) {
  return engine::guarded("get_mask_fn", [&]() -> Result<std::string> {
    engine::Report report("get_mask_fn");
    std::string text = engine::NamedMask{mask_type, sizes, report}.text();
    if (!report.empty()) return report.take();
    return text;
  });
}

}  // namespace flexjit
