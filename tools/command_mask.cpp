// `flexjit mask`: a pattern and lengths -> its block mask, how it was found and what it cost, and pictures of it. The reference
// backend: no kernel is needed, so no compiler either.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>

#include "bind.h"
#include "flexjit/engine.h"
#include "options.h"
#include "pattern.h"
#include "picture/summary.h"
#include "progress.h"
#include "report.h"
#include "timing.h"

namespace flexjit::tools {
namespace {

Status write_file(const std::string& path, std::span<const std::uint8_t> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) return failure("unwritable-file", path, fmt::format("cannot be written: {}", std::strerror(errno)));
  return Unit{};
}

std::span<const std::uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// One `flexjit mask`, in the order of its members' making; each step returns what was wrong.
class MaskRun {
 public:
  explicit MaskRun(const MaskOptions& options) : options_(options) {}

  int operator()() {
    using Step = Diagnostics (MaskRun::*)();
    for (Step step : {&MaskRun::compile, &MaskRun::bind, &MaskRun::build, &MaskRun::count, &MaskRun::look, &MaskRun::write})
      if (const Diagnostics errors = (this->*step)(); !errors.empty()) {
        progress_.show("");
        return report_errors(errors, options_.output);
      }
    progress_.show("");
    print_summary(summary_, options_.output);
    const bool files = !options_.png.empty() || !options_.svg.empty();
    if (options_.output == Output::kTable && (options_.text == TextPicture::kAlways || !files))
      fmt::print("\n{}", text_picture(*mask_, picture_));
    return static_cast<int>(ExitCode::kFine);
  }

 private:
  Diagnostics compile() {
    Result<AttentionSpec> spec = load_pattern(options_.pattern);
    if (!spec) return spec.diagnostics();
    EngineOptions engine;
    engine.backend = Backend::kReference;
    Result<Attention> attention = Engine(engine).compile(*spec);
    if (!attention) return attention.diagnostics();
    attention_ = std::move(*attention);
    summary_.pattern = spec->program_name;
    return {};
  }

  Diagnostics bind() {
    const Sizes s = summary_.sizes = sizes_without_files(options_.sizes);
    Diagnostics errors;
    const auto check = [&errors](const char* option, std::int32_t index, std::int64_t count) {
      if (index >= count)
        errors.push_back(failure("usage", option, fmt::format("is {}; there are {}, numbered from 0", index, count)));
    };
    check("--batch-entry", summary_.batch_entry = options_.batch_entry, s.batch);
    check("--head", summary_.head = options_.head, s.heads);
    if (!errors.empty()) return errors;
    progress_.show("making buffers");
    Result<BoundNames> names = bind_names(*attention_, options_.names, s);
    if (!names) return names.diagnostics();
    names_ = std::move(*names);
    summary_.generated = names_.generated;
    block_options_ = mask_options_of(s);
    block_options_.q_block = options_.q_block;
    block_options_.kv_block = options_.kv_block;
    return {};
  }

  Diagnostics build() {
    progress_.show("building the block mask");
    Result<BlockMask> mask = attention_->create_block_mask(block_options_, &names_.bindings, &found_);
    if (!mask) return mask.diagnostics();
    mask_ = std::move(*mask);
    summary_.shape = mask_->shape();
    summary_.blocks = mask_->counts();
    summary_.sparsity = mask_->sparsity();
    summary_.bytes = mask_->bytes();
    summary_.build_ms = found_.build_ms;
    summary_.proved = found_.proved;
    for (const BlockPosition& block : found_.evaluated) {
      switch (mask_->kind(block.b, block.h, block.q_block, block.kv_block)) {
        case BlockKind::kEmpty: ++summary_.evaluated.empty; break;
        case BlockKind::kPartial: ++summary_.evaluated.partial; break;
        case BlockKind::kFull: ++summary_.evaluated.full; break;
      }
    }
    return {};
  }

  // Of the mask's own planes: the engine counts each as often as the call has batch entries and heads that share it.
  Diagnostics count() {
    constexpr std::int64_t kLong = std::int64_t{1} << 31;  // pairs: some twenty seconds where the mask reads buffers
    const BlockMaskShape& s = summary_.shape;
    const std::int64_t block = std::int64_t{std::min(s.q_block, s.q_len)} * std::min(s.kv_block, s.kv_len);
    const std::int64_t pairs = summary_.blocks.partial * block;
    if (pairs > kLong && options_.counting == Counting::kUnlessLong) return {};
    progress_.show(fmt::format("counting allowed pairs in {} partial blocks", summary_.blocks.partial));
    const auto begin = Clock::now();
    const Result<std::int64_t> allowed = attention_->count_allowed(block_options_, &names_.bindings);
    if (!allowed) return allowed.diagnostics();
    summary_.count_ms = ms_since(begin);
    summary_.allowed_pairs = *allowed / (summary_.sizes.batch * summary_.sizes.heads / summary_.planes());
    return {};
  }

  Diagnostics look() {
    progress_.show("drawing");
    const BlockPosition plane = plane_of(summary_.shape, summary_.batch_entry, summary_.head);
    picture_.grid = make_grid({.mask = *mask_, .evaluated = found_.evaluated, .plane = plane});
    Result<Zoom> zoom = find_zoom({.attention = *attention_,
                                   .options = block_options_,
                                   .bindings = names_.bindings,
                                   .mask = *mask_,
                                   .b = summary_.batch_entry,
                                   .h = summary_.head});
    if (!zoom) return zoom.diagnostics();
    picture_.zoom = std::move(*zoom);
    return {};
  }

  Diagnostics write() {
    Diagnostics errors;
    const auto keep = [&](const std::string& path, const auto& write) {
      if (path.empty()) return;
      if (const Status status = write(path); !status)
        errors.insert(errors.end(), status.diagnostics().begin(), status.diagnostics().end());
      else
        summary_.written.push_back(path);
    };
    keep(options_.svg, [&](const std::string& path) { return write_file(path, bytes_of(svg_picture(picture_))); });
    keep(options_.png, [&](const std::string& path) { return write_png(path, picture_); });
    keep(options_.save, [&](const std::string& path) { return write_file(path, mask_->to_bytes()); });
    return errors;
  }

  const MaskOptions& options_;
  Progress progress_;
  std::optional<Attention> attention_;
  BoundNames names_;
  BlockMaskOptions block_options_;
  BlockMaskReport found_;
  std::optional<BlockMask> mask_;
  MaskSummary summary_;
  MaskPicture picture_{.summary = summary_, .grid = {}, .zoom = {}};
};

}  // namespace

int mask_command(const MaskOptions& options) { return MaskRun(options)(); }

}  // namespace flexjit::tools
