// Statements become the lines of a program, so -e takes all that a file takes, declarations included, and a diagnostic's line
// is the number of the -e.
#include "pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "failure.h"
#include "flexjit/engine.h"

namespace flexjit::tools {
namespace {

constexpr std::size_t kMaxText = 1 << 20;  // far above what the language accepts; keeps /dev/zero from filling memory

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return failure("unreadable-file", path, fmt::format("cannot be opened: {}", std::strerror(errno)));
  std::string text(kMaxText + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return failure("unreadable-file", path, fmt::format("cannot be read: {}", std::strerror(errno)));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxText) return failure("unreadable-file", path, "is larger than 1 MiB; a pattern is a few lines of text");
  return text;
}

// Only where nothing is wrong: errors are reported where the pattern is used.
void print_warnings(const AttentionSpec& spec) {
  const Diagnostics found = check(spec);
  const bool wrong = std::ranges::any_of(found, [](const Diagnostic& d) { return d.severity == Severity::kError; });
  if (!wrong) fmt::print(stderr, "{}", render(found));
}

Result<AttentionSpec> read_pattern(const PatternOptions& options) {
  if (options.file.empty() == options.statements.empty())
    return failure("usage", "flexjit",
                   "give the pattern either as a FILE or as statements with -e, e.g. -e 'mask = q_idx >= kv_idx'");
  AttentionSpec spec;
  if (options.file.empty()) {
    spec.program_name = "-e";
    for (const std::string& statement : options.statements) spec.program += statement + "\n";
    return spec;
  }
  Result<std::string> text = read_text(options.file);
  if (!text) return text.diagnostics();
  // An empty program would be a spec without one, which is plain attention; an empty file is a mistake.
  spec.program = text->empty() ? "\n" : std::move(*text);
  spec.program_name = options.file;
  return spec;
}

}  // namespace

Result<AttentionSpec> load_pattern(const PatternOptions& options) {
  Result<AttentionSpec> spec = read_pattern(options);
  if (spec) print_warnings(*spec);
  return spec;
}

}  // namespace flexjit::tools
