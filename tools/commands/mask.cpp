// `flexjit mask`: a pattern and lengths -> its block mask, how it was found and what it cost, and pictures of it. The reference
// backend: no kernel is needed, so no compiler either.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "command_line/options.h"
#include "command_line/position_range.h"
#include "command_line/progress.h"
#include "commands/report.h"
#include "data/bind.h"
#include "data/file_uses.h"
#include "data/output_file.h"
#include "data/pattern.h"
#include "flexjit/engine.h"
#include "picture/summary.h"
#include "picture/survey.h"

namespace flexjit::tools {
namespace {

std::string_view text_of(const std::vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A plane of more blocks than a picture or a person can use takes minutes and gigabytes where the mask has many runs.
Diagnostics too_many_blocks(const MaskOptions& options, const Sizes& sizes) {
  constexpr double kMost = 0x1p32;
  const auto blocks = [](std::int64_t length, std::int64_t block) { return (length + block - 1) / block; };
  const double rows = static_cast<double>(blocks(sizes.q_len, options.q_block));
  const double columns = static_cast<double>(blocks(sizes.kv_len, options.kv_block));
  if (rows * columns <= kMost) return {};
  return {failure("mask-size", "mask",
                  fmt::format("{} x {} blocks are above the limit of {:.0f}; use larger blocks (--q-block, --kv-block) or "
                              "smaller lengths",
                              rows, columns, kMost))};
}

// One `flexjit mask`, in the order of its members' making; each step returns what was wrong.
class MaskRun {
 public:
  explicit MaskRun(const MaskOptions& options) : options_(options) {}

  int operator()() {
    using Step = Diagnostics (MaskRun::*)();
    for (Step step : {&MaskRun::compile, &MaskRun::bind, &MaskRun::survey, &MaskRun::write})
      if (const Diagnostics errors = (this->*step)(); !errors.empty()) {
        progress_.show("");
        return report_errors(errors, options_.output);
      }
    progress_.show("");
    print_summary(survey_->summary, options_.output);
    const bool files = !options_.png.empty() || !options_.svg.empty();
    if (options_.output == Output::kTable && (options_.text == TextPicture::kAlways || !files))
      fmt::print("\n{}", text_picture(survey_->mask, survey_->picture()));
    return static_cast<int>(ExitCode::kFine);
  }

 private:
  Diagnostics compile() {
    const std::vector<FileUse> outputs = {{"--svg", options_.svg}, {"--png", options_.png}, {"--save", options_.save}};
    if (Diagnostics wrong = check_file_uses(inputs_of(options_.pattern, options_.names), outputs); !wrong.empty()) return wrong;
    Result<AttentionSpec> spec = load_pattern(options_.pattern);
    if (!spec) return spec.diagnostics();
    EngineOptions engine;
    engine.backend = Backend::kReference;
    Result<Attention> attention = Engine(engine).compile(*spec);
    if (!attention) return attention.diagnostics();
    attention_ = std::move(*attention);
    spec_ = std::move(*spec);
    return {};
  }

  Diagnostics bind() {
    const Sizes s = sizes_ = sizes_without_files(options_.sizes);
    Diagnostics errors;
    const auto check = [&errors](const char* option, std::int32_t index, std::int64_t count) {
      if (index >= count)
        errors.push_back(failure("usage", option, fmt::format("is {}; there are {}, numbered from 0", index, count)));
    };
    check("--batch-entry", options_.batch_entry, s.batch);
    check("--head", options_.head, s.heads);
    if (Diagnostics wrong = find_region(); !wrong.empty()) errors.insert(errors.end(), wrong.begin(), wrong.end());
    if (errors.empty()) errors = too_many_blocks(options_, s);
    if (!errors.empty()) return errors;
    progress_.show("making buffers");
    NameOptions wanted = with_flag_files(options_.names, options_.pattern.flags);
    wanted.unread = unread_by_mask(spec_, *attention_, s);
    Result<BoundNames> names = bind_names(*attention_, wanted, s);
    if (!names) return names.diagnostics();
    names_ = std::move(*names);
    block_options_ = mask_options_of(s);
    block_options_.q_block = options_.q_block;
    block_options_.kv_block = options_.kv_block;
    return {};
  }

  // Of the pairs that are shown one by one.
  Diagnostics find_region() {
    Diagnostics errors;
    const auto range = [&errors](const char* option, const std::string& text, const char* what, std::int64_t length) {
      const std::string all = fmt::format("0:{}", length);
      const Result<PositionRange> parsed = parse_range(option, text.empty() ? all : text, what, length);
      if (!parsed) {
        errors.push_back(parsed.diagnostics().front());
      } else if (parsed->end - parsed->begin > Zoom::kMaxSide) {
        errors.push_back(failure("usage", option, fmt::format("shows at most {} {}; write it as A:B", Zoom::kMaxSide, what)));
      } else {
        return std::optional(*parsed);
      }
      return std::optional<PositionRange>();
    };
    if (options_.rows.empty() && options_.keys.empty()) return {};
    rows_ = range("--rows", options_.rows, "query rows", sizes_.q_len);
    keys_ = range("--keys", options_.keys, "keys", sizes_.kv_len);
    return errors;
  }

  Diagnostics survey() {
    Result<Survey> found = survey_mask({.attention = *attention_,
                                        .names = names_,
                                        .options = block_options_,
                                        .batch_entry = options_.batch_entry,
                                        .head = options_.head,
                                        .counting = options_.counting,
                                        .rows = rows_,
                                        .keys = keys_},
                                       progress_);
    if (!found) return found.diagnostics();
    survey_ = std::move(*found);
    survey_->summary.pattern = spec_.program_name;
    survey_->summary.sizes = sizes_;
    return {};
  }

  Diagnostics write() {
    Diagnostics errors;
    const auto keep = [&](const std::string& path, const auto& write) {
      if (path.empty()) return;
      if (const Status status = write(path); !status)
        errors.insert(errors.end(), status.diagnostics().begin(), status.diagnostics().end());
      else
        survey_->summary.written.push_back(path);
    };
    keep(options_.svg, [&](const std::string& path) { return write_file(path, svg_picture(survey_->picture())); });
    keep(options_.png, [&](const std::string& path) { return write_png(path, survey_->picture()); });
    keep(options_.save, [&](const std::string& path) { return write_file(path, text_of(survey_->mask.to_bytes())); });
    return errors;
  }

  const MaskOptions& options_;
  Progress progress_;
  std::optional<Attention> attention_;
  BoundNames names_;
  BlockMaskOptions block_options_;
  std::optional<PositionRange> rows_, keys_;  // that are shown pair by pair; absent: where something is to be seen
  AttentionSpec spec_;
  Sizes sizes_;
  std::optional<Survey> survey_;
};

}  // namespace

int mask_command(const MaskOptions& options) { return MaskRun(options)(); }

}  // namespace flexjit::tools
