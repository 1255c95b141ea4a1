// Rows are checked before anything is compiled or run, so that a slip costs no time.
#include "commands/score_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "command_line/failure.h"
#include "command_line/position_range.h"
#include "picture/heat_map.h"

namespace flexjit::tools {
namespace {

constexpr std::int64_t kDefaultRows = 8;

// Without a text the first rows.
Result<PositionRange> parse_rows(const std::string& text, std::int64_t q_len, std::int64_t without_text) {
  if (text.empty()) return PositionRange{0, static_cast<std::int32_t>(std::min(without_text, q_len))};
  return parse_range("--dump-rows", text, "query rows", q_len);
}

}  // namespace

Result<ScoreRows> find_score_rows(const ScoreDumpOptions& options, const Sizes& sizes) {
  Diagnostics errors;
  const bool names_scores = !options.rows.empty() || options.batch_entry || options.head;
  if (names_scores && options.file.empty() && options.heat_map.empty())
    errors.push_back(failure("usage", "run", "--dump-rows, --batch-entry and --head are of --dump-scores and --heat-map"));
  const auto check = [&errors](const char* option, const std::optional<std::int32_t>& index, std::int64_t count) {
    if (index && *index >= count)
      errors.push_back(failure("usage", option, fmt::format("is {}; there are {}, numbered from 0", *index, count)));
  };
  check("--batch-entry", options.batch_entry, sizes.batch);
  check("--head", options.head, sizes.heads);
  const Result<PositionRange> rows = parse_rows(options.rows, sizes.q_len, options.file.empty() ? sizes.q_len : kDefaultRows);
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

Status draw_scores(const Attention& attention, const RunArgs& args, const ScoreDumpOptions& options, const std::string& title,
                   const Sizes& sizes) {
  Result<ScoreRows> rows = find_score_rows(options, sizes);
  if (!rows) return rows.diagnostics();
  rows->b = options.batch_entry.value_or(0);
  rows->h = options.head.value_or(0);
  const Result<Array> scores = dump_scores(attention, args, *rows, sizes);
  if (!scores) return scores.diagnostics();
  return write_heat_map(options.heat_map, {.title = title,
                                           .subtitle = fmt::format("scores of batch entry {}, head {}", *rows->b, *rows->h),
                                           .scores = *scores,
                                           .rows = rows->q});
}

}  // namespace flexjit::tools
