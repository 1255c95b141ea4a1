// Statements become the lines of a program, so -e takes all that a file takes, declarations included, and a diagnostic's line
// is the number of the -e.
#include "data/pattern.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>

#include "command_line/colour.h"
#include "command_line/failure.h"
#include "data/npy.h"
#include "flexjit/engine.h"
#include "flexjit/presets.h"

namespace flexjit::tools {
namespace {

constexpr const char* kStdin = "-";
constexpr std::size_t kMaxText = 1 << 20;  // far above what the language accepts; keeps /dev/zero from filling memory

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path == kStdin ? "/dev/stdin" : path, std::ios::binary);
  if (!in) return failure("unreadable-file", path, fmt::format("cannot be opened: {}", std::strerror(errno)));
  std::string text(kMaxText + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return failure("unreadable-file", path, fmt::format("cannot be read: {}", std::strerror(errno)));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxText) return failure("unreadable-file", path, "is larger than 1 MiB; a pattern is a few lines of text");
  return text;
}

TextLanguage language_of(const PatternOptions& options) {
  if (options.language) return *options.language;
  constexpr std::array<std::string_view, 5> kCxx = {".cpp", ".cc", ".cxx", ".h", ".hpp"};
  const auto ends_so = [&](std::string_view ending) { return options.file.ends_with(ending); };
  return std::ranges::any_of(kCxx, ends_so) ? TextLanguage::kCxx : TextLanguage::kFlex;
}

// The text alone.
Result<AttentionSpec> load_text(const PatternOptions& options) {
  AttentionSpec spec;
  if (!options.preset.empty()) {
    const Result<Preset> preset = find_preset(options.preset);
    if (!preset) return preset.diagnostics();
    spec.program = preset->text;
    spec.program_name = preset->name;
  } else if (!options.file.empty()) {
    Result<std::string> text = read_text(options.file);
    if (!text) return text.diagnostics();
    // An empty program would be a spec without one, which is plain attention; an empty file is a mistake.
    spec.program = text->empty() ? "\n" : std::move(*text);
    spec.program_name = options.file == kStdin ? "<stdin>" : options.file;
    spec.language = language_of(options);
  } else if (!options.statements.empty()) {
    spec.program_name = "-e";
    spec.language = language_of(options);
    for (const std::string& statement : options.statements) spec.program += statement + "\n";
  } else {
    spec.program_name = "flags";
  }
  return spec;
}

// A command that does not look into a tensor must not take the name of one that is not there either.
Diagnostics missing_files(const FlagOptions& flags) {
  Diagnostics missing;
  for (const TensorFlag* flag : {&flags.alibi, &flags.key_lengths, &flags.key_mask, &flags.sinks}) {
    const std::string file = flag->file();
    if (!file.empty() && file != kStdin && access(file.c_str(), R_OK) != 0)
      missing.push_back(failure("unreadable-file", file, fmt::format("cannot be opened: {}", std::strerror(errno))));
  }
  return missing;
}

}  // namespace

Result<AttentionSpec> with_flags(AttentionSpec spec, const FlagOptions& flags) {
  spec.causal = flags.causal;
  if (!flags.window.empty()) spec.window = Window{flags.window.front(), flags.window.back()};
  spec.softcap = flags.softcap;
  spec.alibi = flags.alibi.given();
  spec.key_lengths = flags.key_lengths.given();
  spec.key_mask = flags.key_mask.given();
  spec.weights = flags.weights;
  spec.linear = flags.linear;
  if (flags.dropout) spec.dropout = Dropout{*flags.dropout, flags.generator};
  if (flags.sinks.given() && flags.weights != Weights::kSoftmax)
    return failure("usage", "--sinks", "take part in a softmax; other weights have none");
  if (Diagnostics missing = missing_files(flags); !missing.empty()) return missing;
  if (flags.attention_mask.empty()) return spec;
  const Result<Array> mask = read_npy(flags.attention_mask);
  if (!mask) return mask.diagnostics();
  spec.attention_mask = MaskTensor{mask->dtype, static_cast<int>(mask->shape.size())};
  if (mask->dtype == DType::kF64) spec.attention_mask->dtype = DType::kF32;  // to which it is converted when it is bound
  return spec;
}

NameOptions with_flag_files(NameOptions names, const FlagOptions& flags) {
  const auto add = [&](const char* buffer, const std::string& file) {
    if (!file.empty()) names.buffers.push_back(fmt::format("{}={}", buffer, file));
  };
  add("alibi_slopes", flags.alibi.file());
  add("key_lengths", flags.key_lengths.file());
  add("key_mask", flags.key_mask.file());
  add("attention_mask", flags.attention_mask);
  if (flags.dropout_seed) names.params.push_back(fmt::format("dropout_seed={}", *flags.dropout_seed));
  if (flags.dropout_offset) names.params.push_back(fmt::format("dropout_offset={}", *flags.dropout_offset));
  return names;
}

void print_warnings(const Diagnostics& found) {
  const bool wrong = std::ranges::any_of(found, [](const Diagnostic& d) { return d.severity == Severity::kError; });
  if (!wrong) fmt::print(stderr, "{}", coloured_diagnostics(render(found), stderr));
}

Result<AttentionSpec> load_pattern(const PatternOptions& options, DType dtype) {
  Result<AttentionSpec> spec = read_pattern(options, dtype);
  if (spec) print_warnings(check(*spec));
  return spec;
}

Result<AttentionSpec> read_pattern(const PatternOptions& options, DType dtype) {
  std::vector<std::string> given;
  if (!options.file.empty()) given.push_back(fmt::format("FILE `{}`", options.file));
  if (!options.statements.empty()) given.emplace_back("-e");
  if (!options.preset.empty()) given.push_back(fmt::format("--preset {}", options.preset));
  if (given.size() > 1)
    return failure("usage", "flexjit",
                   fmt::format("{} patterns are given, {}; give one. Flags such as --causal are composed with it",
                               given.size() == 2 ? "two" : "three", fmt::join(given, " and ")));
  if (given.empty() && !options.flags.any())
    return failure("usage", "flexjit",
                   "give the pattern as a FILE, as statements with -e, e.g. -e 'mask = q_idx >= kv_idx', or by the name of a "
                   "--preset; flags such as --causal may stand alone");
  Result<AttentionSpec> spec = load_text(options);
  if (spec) spec = with_flags(std::move(*spec), options.flags);
  if (!spec) return spec;
  spec->dtype = dtype;
  return spec;
}

}  // namespace flexjit::tools
