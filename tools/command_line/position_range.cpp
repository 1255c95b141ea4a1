// B is not among them, as in Python.
#include "command_line/position_range.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "command_line/failure.h"

namespace flexjit::tools {
namespace {

std::optional<std::int32_t> parse_position(std::string_view text) {
  std::int32_t position = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), position);
  return error == std::errc{} && end == text.data() + text.size() && position >= 0 ? std::optional(position) : std::nullopt;
}

}  // namespace

Result<PositionRange> parse_range(const std::string& option, const std::string& text, const std::string& what,
                                  std::int64_t length) {
  const std::string_view view = text;
  const std::size_t colon = view.find(':');
  const auto begin = parse_position(view.substr(0, colon));
  const auto end = colon == std::string_view::npos ? std::nullopt : parse_position(view.substr(colon + 1));
  if (!begin || !end)
    return failure(
        "usage", option,
        fmt::format("`{}` is no range of {}; write 0:8 for the first eight", text, what.substr(what.rfind(' ') + 1)));
  if (*begin > *end || *end > length)
    return failure("usage", option, fmt::format("{} is not inside the {} {}, 0:{}", text, length, what, length));
  return PositionRange{*begin, *end};
}

}  // namespace flexjit::tools
