// Bytes -> a source in one of its forms -> diagnostics or a program. Nothing may crash, hang or trip a sanitizer; every
// diagnostic must render inside its line, and what lowers must simplify to a fixed point.
//
// The first byte chooses: 's' a score, 'm' a mask, 'b' both (split at the first byte 1), anything else a file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "dsl/parse/print_ast.h"
#include "ir/lower/lower.h"
#include "ir/passes/passes.h"
#include "require.h"

namespace {

using namespace flexjit;
using fuzz::require;

dsl::Source source_of(char form, std::string_view text) {
  dsl::Source source;
  source.buffers = {{"t", DType::kF32, 1}, {"u", DType::kI32, 2}, {"g", DType::kBool, 1}};
  source.params = {{"w", std::int32_t{3}}, {"c", 0.5f}, {"on", true}};
  const std::size_t middle = text.find('\x01');
  switch (form) {
    case 's': source.score = dsl::SourceText{"score_mod", std::string(text)}; break;
    case 'm': source.mask = dsl::SourceText{"mask_mod", std::string(text)}; break;
    case 'b':
      source.score = dsl::SourceText{"score_mod", std::string(text.substr(0, middle))};
      source.mask = dsl::SourceText{"mask_mod", middle == text.npos ? "true" : std::string(text.substr(middle + 1))};
      break;
    default: source.file = dsl::SourceText{"file.flex", std::string(text)}; break;
  }
  return source;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(data, data + size);
  const dsl::Source source = source_of(bytes.empty() ? 'f' : bytes[0], bytes.empty() ? "" : std::string_view(bytes).substr(1));
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  if (!lowered) {
    fuzz::check_diagnostics(lowered.diagnostics());
    return 0;
  }
  require(dsl::print_ast(source).has_value(), "a program without a tree");
  require(!lowered->program.score().valid() || !ir::print(lowered->program, lowered->interface).empty(), "no print");
  const ir::Program simple = ir::simplify(lowered->program);
  require(ir::print(ir::simplify(simple)) == ir::print(simple), "simplify is not idempotent");
  return 0;
}
