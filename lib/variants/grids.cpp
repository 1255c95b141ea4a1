// Attention over grids of tokens as texts: neighbourhoods along each axis, and Swin's windows.
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "diagnostics/guard.h"
#include "flexjit/variants.h"
#include "variants/options.h"
#include "variants/window_axes.h"

namespace flexjit {

namespace variants {

namespace {

constexpr std::size_t kMostAxes = 4;

// What a position is along an axis of which a step is `inner` positions; the outermost axis needs no remainder.
std::string coordinate(const char* position, std::int64_t inner, std::int64_t extent, bool outermost) {
  std::string text = inner == 1 ? std::string(position) : fmt::format("{} // {}", position, inner);
  if (!outermost) text += fmt::format(" % {}", extent);
  return text;
}

// The lets of one axis and, as its result, what has to hold along it. Names end in the axis' number. Positions of one remainder
// by the dilation are a line of their own, `q` and `k` the steps along it.
std::string axis_condition(const NeighborhoodAxis& axis, NeighborhoodBorder border, std::size_t a, std::string& lets) {
  const std::int32_t left = axis.kernel / 2, right = (axis.kernel - 1) / 2;
  lets += fmt::format("let q{0} = at_q{0} // {1}\nlet k{0} = at_k{0} // {1}\n", a, axis.dilation);
  // The last step of the line.
  if (axis.stride > 1 || (!axis.causal && border == NeighborhoodBorder::kShifted))
    lets += fmt::format("let last{0} = ({1} - at_q{0} % {2}) // {2}\n", a, axis.extent - 1, axis.dilation);
  std::string condition = axis.dilation == 1 ? "" : fmt::format("at_q{0} % {1} == at_k{0} % {1} && ", a, axis.dilation);
  // The query in whose window this one looks: the middle of those that share it, or of causal ones the last.
  const std::int32_t offset = axis.causal ? axis.stride - 1 : axis.stride / 2;
  lets += axis.stride == 1 ? fmt::format("let leader{0} = q{0}\n", a)
                           : fmt::format("let leader{0} = min(q{0} // {1} * {1} + {2}, last{0})\n", a, axis.stride, offset);
  if (axis.causal) return condition + fmt::format("k{0} <= q{0} && leader{0} - k{0} < {1}", a, axis.kernel);
  lets += border == NeighborhoodBorder::kClipped
              ? fmt::format("let middle{0} = leader{0}\n", a)
              : fmt::format("let middle{0} = clamp(leader{0}, {1}, last{0} - {2})\n", a, left, right);
  return condition + fmt::format("k{0} >= middle{0} - {1} && k{0} <= middle{0} + {2}", a, left, right);
}

std::string neighborhood_program(const NeighborhoodOptions& options) {
  std::string lets, mask, extents = "num_heads", index = "h";
  std::int64_t inner = 1;
  for (const NeighborhoodAxis& axis : options.axes) inner *= axis.extent;
  for (std::size_t a = 0; a < options.axes.size(); ++a) {
    const NeighborhoodAxis& axis = options.axes[a];
    inner /= axis.extent;
    lets += fmt::format("let at_q{0} = {1}\nlet at_k{0} = {2}\n", a, coordinate("q_idx", inner, axis.extent, a == 0),
                        coordinate("kv_idx", inner, axis.extent, a == 0));
    mask += (a == 0 ? "" : " && ") + axis_condition(axis, options.border, a, lets);
    extents += fmt::format(", {}", 2 * axis.kernel - 1);
    index += fmt::format(", k{0} - q{0} + {1}", a, axis.kernel - 1);
  }
  std::string text;
  if (options.relative_bias) text += fmt::format("buffer relative_bias : f32[{}]\n", extents);
  text += lets;
  if (options.relative_bias) text += fmt::format("score = score + relative_bias[{}]\n", index);
  return text + "mask = " + mask + "\n";
}

void check_axes(const NeighborhoodOptions& options, engine::Report& report) {
  check_range(report, "the number of axes", static_cast<std::int64_t>(options.axes.size()),
              {1, static_cast<std::int64_t>(options.relative_bias ? kMostAxes - 1 : kMostAxes)});
  std::int64_t tokens = 1;
  for (std::size_t a = 0; a < options.axes.size(); ++a) {
    const NeighborhoodAxis& axis = options.axes[a];
    const auto check = [&](const char* name, std::int32_t value, Range range) {
      check_range(report, fmt::format("axes[{}].{}", a, name), value, range);
    };
    check("extent", axis.extent, {});
    check("dilation", axis.dilation, {1, std::max(axis.extent, 1)});
    // A clipped window may be larger than the grid.
    const std::int32_t most = std::max(axis.extent / std::max(axis.dilation, 1), 1);
    check("kernel", axis.kernel, {1, options.border == NeighborhoodBorder::kClipped ? std::min(most, 1 << 29) * 2 - 1 : most});
    check("stride", axis.stride, {1, std::max(axis.kernel, 1)});
    tokens = std::min(tokens * std::clamp(axis.extent, 1, INT32_MAX), std::int64_t{1} << 31);
  }
  check_range(report, "the number of tokens", tokens, {});
}

// The lets of one axis and what has to hold along it: one window of the rolled axis, and one region of it, since the last
// window of a rolled axis has its end and, behind that, its beginning.
std::string window_condition(const WindowAxis& axis, const char* name, const std::string& q, const std::string& k,
                             std::string& lets) {
  const std::int32_t padded = axis.padded();
  const auto rolled = [&](const std::string& at) {
    return axis.shift == 0 ? at : fmt::format("({} - {}) % {}", at, axis.shift, padded);
  };
  lets += fmt::format("let q_{0} = {1}\nlet k_{0} = {2}\n", name, rolled(q), rolled(k));
  std::string condition = fmt::format("q_{0} // {1} == k_{0} // {1}", name, axis.window);
  if (axis.shift > 0) condition += fmt::format(" && (q_{0} < {1}) == (k_{0} < {1})", name, padded - axis.shift);
  return condition;
}

std::string swin_program(const SwinOptions& options) {
  const auto [rows, columns] = window_axes(options);
  std::string lets, text;
  std::string mask = window_condition(rows, "row", coordinate("q_idx", options.width, rows.extent, true),
                                      coordinate("kv_idx", options.width, rows.extent, true), lets);
  mask += " && " + window_condition(columns, "column", coordinate("q_idx", 1, columns.extent, false),
                                    coordinate("kv_idx", 1, columns.extent, false), lets);
  const std::int32_t line = 2 * columns.window - 1;
  if (options.relative_bias) text += fmt::format("buffer relative_bias : f32[num_heads, {}]\n", (2 * rows.window - 1) * line);
  text += lets;
  if (options.relative_bias)
    text += fmt::format(
        "score = score + relative_bias[h, (q_row % {0} - k_row % {0} + {1}) * {2} + q_column % {3} - k_column % {3} + {4}]\n",
        rows.window, rows.window - 1, line, columns.window, columns.window - 1);
  return text + "mask = " + mask + "\n";
}

}  // namespace

WindowAxes window_axes(const SwinOptions& options) {
  const auto& [rows, columns] = options.window;
  WindowAxes axes{{options.height, rows, options.shift[0]}, {options.width, columns, options.shift[1]}};
  if (options.height > rows && options.width > columns) return axes;
  const std::int32_t smaller = std::min(options.height, options.width);
  axes.rows.window = std::min(rows, rows == columns ? smaller : options.height);
  axes.columns.window = std::min(columns, rows == columns ? smaller : options.width);
  axes.rows.shift = axes.columns.shift = 0;
  return axes;
}

void check_windows(const SwinOptions& options, engine::Report& report) {
  constexpr std::int32_t kMost = 1 << 15;  // whose product is no more than a length can be
  check_range(report, "height", options.height, {1, kMost});
  check_range(report, "width", options.width, {1, kMost});
  for (std::size_t d = 0; d < 2; ++d) {
    check_range(report, fmt::format("window[{}]", d), options.window[d], {1, kMost / 2});
    check_range(report, fmt::format("shift[{}]", d), options.shift[d], {0, std::max(options.window[d], 1) - 1});
  }
}

}  // namespace variants

Result<AttentionSpec> neighborhood(const NeighborhoodOptions& options) {
  return engine::guarded("neighborhood", [&]() -> Result<AttentionSpec> {
    engine::Report report("neighborhood");
    variants::check_axes(options, report);
    if (!report.empty()) return report.take();
    return variants::spec_of(variants::neighborhood_program(options), "neighborhood", options.head_dim);
  });
}

Result<AttentionSpec> swin(const SwinOptions& options) {
  return engine::guarded("swin", [&]() -> Result<AttentionSpec> {
    engine::Report report("swin");
    variants::check_windows(options, report);
    if (!report.empty()) return report.take();
    return variants::spec_of(variants::swin_program(options), "swin", options.head_dim);
  });
}

}  // namespace flexjit
