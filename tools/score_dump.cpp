// Rows are checked before anything is compiled or run, so that a slip costs no time.
#include "score_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "failure.h"

namespace flexjit::tools {
namespace {

constexpr std::int64_t kDefaultRows = 8;

std::optional<std::int32_t> parse_row(std::string_view text) {
  std::int32_t row = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), row);
  return error == std::errc{} && end == text.data() + text.size() && row >= 0 ? std::optional(row) : std::nullopt;
}

Result<PositionRange> parse_rows(const std::string& text, std::int64_t q_len) {
  if (text.empty()) return PositionRange{0, static_cast<std::int32_t>(std::min(kDefaultRows, q_len))};
  const std::string_view view = text;
  const std::size_t colon = view.find(':');
  const auto begin = parse_row(view.substr(0, colon));
  const auto end = colon == std::string_view::npos ? std::nullopt : parse_row(view.substr(colon + 1));
  if (!begin || !end)
    return failure("usage", "--dump-rows", fmt::format("`{}` is no range of rows; write 0:8 for the first eight", text));
  if (*begin > *end || *end > q_len)
    return failure("usage", "--dump-rows", fmt::format("{} is not inside the {} query rows, 0:{}", text, q_len, q_len));
  return PositionRange{*begin, *end};
}

}  // namespace

Result<ScoreRows> find_score_rows(const ScoreDumpOptions& options, const Sizes& sizes) {
  Diagnostics errors;
  const auto check = [&errors](const char* option, const std::optional<std::int32_t>& index, std::int64_t count) {
    if (index && *index >= count)
      errors.push_back(failure("usage", option, fmt::format("is {}; there are {}, numbered from 0", *index, count)));
  };
  check("--batch-entry", options.batch_entry, sizes.batch);
  check("--head", options.head, sizes.heads);
  const Result<PositionRange> rows = parse_rows(options.rows, sizes.q_len);
  if (!rows) errors.push_back(rows.diagnostics().front());
  if (!errors.empty()) return errors;
  return ScoreRows{.q = *rows, .b = options.batch_entry, .h = options.head};
}

Result<Array> dump_scores(const Attention& attention, const RunArgs& args, const ScoreRows& rows, const Sizes& sizes) {
  const Result<std::vector<float>> scores = attention.scores(args, rows);
  if (!scores) return scores.diagnostics();
  std::vector<std::int64_t> shape;
  if (!rows.b) shape.push_back(sizes.batch);
  if (!rows.h) shape.push_back(sizes.heads);
  shape.push_back(rows.q.end - rows.q.begin);
  shape.push_back(sizes.kv_len);
  Array array(DType::kF32, std::move(shape));
  std::ranges::copy(*scores, array.as<float>());
  return array;
}

}  // namespace flexjit::tools
