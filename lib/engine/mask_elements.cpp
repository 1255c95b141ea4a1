// Attention::mask_elements: a small part of one plane's mask, pair by pair, at any length: what a picture zooms into. No block
// is classified, so the cost is that of the pairs alone.
#include <algorithm>

#include "call/call.h"
#include "diagnostics/guard.h"
#include "ir/evaluate/interpreter.h"

namespace flexjit {
namespace engine {
namespace {

constexpr std::int64_t kMaxElements = std::int64_t{1} << 24;

struct Region {
  BlockPosition plane;
  PositionRange q, kv;

  std::int64_t rows() const { return std::int64_t{q.end} - q.begin; }
  std::int64_t keys() const { return std::int64_t{kv.end} - kv.begin; }
};

void check_inside(const char* name, PositionRange range, std::int32_t length, Report& report) {
  if (range.begin >= 0 && range.begin <= range.end && range.end <= length) return;
  report.add(Finding::kMaskOption, name, fmt::format("[{}, {})", range.begin, range.end),
             fmt::format("inside [0, {})", length));
}

void check_plane(const char* name, std::int32_t index, std::int32_t planes, Report& report) {
  if (index < 0 || index >= planes) report.add(Finding::kMaskOption, name, index, fmt::format("0 to {}", planes - 1));
}

void check_region(const Region& region, const BlockMaskOptions& options, Report& report) {
  Report wrong(report.call());
  check_plane("plane.b", region.plane.b, options.batch, wrong);
  check_plane("plane.h", region.plane.h, options.heads, wrong);
  check_inside("q", region.q, options.q_len, wrong);
  check_inside("kv", region.kv, options.kv_len, wrong);
  if (wrong.empty() && region.rows() * region.keys() > kMaxElements) {
    wrong.add(Finding::kMaskOption, "the number of pairs", region.rows() * region.keys(),
              fmt::format("at most {}", kMaxElements));
  }
  report.add_all(wrong.take());
}

Result<std::vector<std::uint8_t>> elements(const Pattern& pattern, const Bound& bound, const Region& region) {
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(region.rows() * region.keys()));
  ir::Interpreter interpreter(pattern.program, bound.environment);
  std::span<std::uint8_t> rest = allowed;
  for (std::int32_t q_idx = region.q.begin; q_idx < region.q.end; ++q_idx) {
    for (std::int32_t kv = region.kv.begin; kv < region.kv.end;) {
      const std::int32_t count = std::min(region.kv.end - kv, ir::Interpreter::kMaxCount);
      const ir::RowRange row{.b = region.plane.b, .h = region.plane.h, .q_idx = q_idx, .kv_begin = kv, .count = count};
      const auto fault = interpreter.eval_mask(row, rest.first(static_cast<std::size_t>(count)));
      if (fault) return describe_fault(pattern, bound.buffers, *fault);
      rest = rest.subspan(static_cast<std::size_t>(count));
      kv += count;
    }
  }
  return allowed;
}

}  // namespace
}  // namespace engine

Result<std::vector<std::uint8_t>> Attention::mask_elements(const BlockMaskOptions& options, const BlockPosition& plane,
                                                           PositionRange q, PositionRange kv, const Bindings* bindings) const {
  return engine::guarded("mask_elements", *this, [&]() -> Result<std::vector<std::uint8_t>> {
    const engine::Pattern& pattern = *impl_->pattern;
    const engine::Region region{.plane = plane, .q = q, .kv = kv};
    engine::Report report("mask_elements");
    const std::optional<engine::CallShape> shape = engine::check_mask_options(options, report);
    if (shape) engine::check_region(region, options, report);
    const engine::Bound bound = engine::bind_names(pattern.interface, bindings, shape, report);
    if (!report.empty()) return report.take();
    return engine::elements(pattern, bound, region);
  });
}

}  // namespace flexjit
