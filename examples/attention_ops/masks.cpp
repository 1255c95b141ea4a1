// Texts of masks into what torch prints of them as tensors of ints.
#include <flexjit/flexjit.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "programs.h"

namespace {

bool print_mask(const char* name, const flexjit::AttentionSpec& spec, std::int32_t length, long expected) {
  const flexjit::Attention attention = flexjit::default_engine().compile(spec).value();
  const std::vector<std::uint8_t> pairs =
      attention.mask_elements({.q_len = length, .kv_len = length}, {}, {0, length}, {0, length}).value();
  std::printf("--- %s (size: [1, 1, %d, %d]) ---\n", name, length, length);
  for (std::int32_t row = 0; row < length; ++row) {
    std::string line = row == 0 ? "tensor([[" : "        [";
    for (std::int32_t column = 0; column < length; ++column) {
      if (column > 0) line += ", ";
      line += static_cast<char>('0' + pairs[static_cast<std::size_t>(row * length + column)]);
    }
    std::printf("%s]%s\n", line.c_str(), row + 1 < length ? "," : "], dtype=int32)");
  }
  const long count = std::count(pairs.begin(), pairs.end(), 1);
  std::printf("%ld pairs\n\n", count);
  return count == expected;
}

}  // namespace

int print_masks() {
  const flexjit::NeighborhoodAxis axis{.extent = 8, .kernel = 7};
  const flexjit::AttentionSpec neighborhood =
      flexjit::neighborhood({.axes = {axis, axis}, .border = flexjit::NeighborhoodBorder::kClipped}).value();
  const bool shown[] = {
      print_mask("Vanilla Attention (Causal Mask)", {.mask_mod = "q_idx >= kv_idx"}, 12, 78),
      print_mask("Sliding Window Attention (Window Size = 3)", {.mask_mod = "q_idx >= kv_idx && q_idx - kv_idx < 3"}, 12, 33),
      print_mask("Neighborhood Attention (H=8, W=8, Radius=3)", neighborhood, 64, 1936)};
  return std::all_of(std::begin(shown), std::end(shown), [](bool each) { return each; }) ? 0 : 1;
}
