// Longformer's band and global tokens as a text.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "diagnostics/guard.h"
#include "flexjit/variants.h"
#include "variants/options.h"

namespace flexjit {

namespace variants {

namespace {

// "h == 0 ? 1 : h == 1 ? 2 : 4", or a number where all heads have the same.
std::string dilation_of(const std::vector<std::int32_t>& dilation) {
  if (dilation.empty()) return "1";
  std::string text;
  if (std::ranges::any_of(dilation, [&](std::int32_t each) { return each != dilation.back(); })) {
    for (std::size_t h = 0; h + 1 < dilation.size(); ++h) text += fmt::format("h == {} ? {} : ", h, dilation[h]);
  }
  return text + std::to_string(dilation.back());
}

std::string program_of(const LongformerOptions& options) {
  std::string text = fmt::format(
      "buffer tokens : i32[batch_size, q_len]\n"
      "let distance = q_idx - kv_idx\n"
      "let dilation = {}\n"
      "let band = abs(distance) <= {} * dilation && distance % dilation == 0\n"
      "let seen = tokens[b, kv_idx]\n"
      "let sees = tokens[b, q_idx]\n",
      dilation_of(options.dilation), options.window);
  text += options.global_rows_apart ? "mask = sees == 0 && seen >= 0 && (seen > 0 || band)"
                                    : "mask = sees >= 0 && seen >= 0 && (sees > 0 || seen > 0 || band)";
  return text + (options.autoregressive ? " && distance >= 0\n" : "\n");
}

}  // namespace
}  // namespace variants

Result<AttentionSpec> longformer(const LongformerOptions& options) {
  return engine::guarded("longformer", [&]() -> Result<AttentionSpec> {
    engine::Report report("longformer");
    constexpr std::int32_t kMost = 1 << 20;  // products of two stay in 32 bits only below INT32_MAX, checked with the window
    for (std::size_t h = 0; h < options.dilation.size(); ++h)
      variants::check_range(report, fmt::format("dilation[{}]", h), options.dilation[h], {1, kMost});
    const std::int32_t largest = options.dilation.empty() ? 1 : *std::ranges::max_element(options.dilation);
    variants::check_range(report, "window", options.window, {0, INT32_MAX / std::clamp(largest, 1, kMost)});
    if (!report.empty()) return report.take();
    return variants::spec_of(variants::program_of(options), "longformer", options.head_dim);
  });
}

}  // namespace flexjit
