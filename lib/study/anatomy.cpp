// The parts come from the syntax tree. What becomes of each in the kernel is read off programs: a part whose variant is the
// same kernel as another is not a part, and the loop of a part is that of a program that computes it alone.
#include "flexjit/anatomy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "call/decode_kernel.h"
#include "call/linear/linear_call.h"
#include "diagnostics/guard.h"
#include "diagnostics/report.h"
#include "dsl/parse/edit_statement.h"
#include "dsl/parse/parts.h"
#include "ir/lower/lower.h"
#include "pattern/pattern.h"
#include "plan/hoisting.h"

namespace flexjit {

namespace {

using engine::Finding;

Loop loop_of(plan::Level level) {
  switch (level) {
    case plan::Level::kUniform: return Loop::kTile;
    case plan::Level::kRow: return Loop::kRow;
    case plan::Level::kColumn: return Loop::kColumn;
    case plan::Level::kDiagonal: return Loop::kDiagonal;
    case plan::Level::kElement: return Loop::kScore;
  }
  return Loop::kScore;
}

std::optional<Loop> loop_of_probe(const std::string& text, plan::Nest nest) {
  if (text.empty()) return std::nullopt;
  dsl::Source source;
  source.file = dsl::SourceText{"part", text};
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  if (!lowered) return std::nullopt;
  const ir::Program program = engine::optimise(lowered->program, lowered->interface);
  const ir::Id root = program.mask().valid() ? program.mask() : program.score();
  if (!root.valid()) return Loop::kTile;
  return loop_of(plan::hoist(program, nest).level[root.index]);
}

// Line ends and runs of blanks become one blank.
std::string on_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (blank && (line.empty() || line.back() == ' ')) continue;
    line += blank ? ' ' : c;
  }
  return line;
}

TextPlace place_of(const dsl::SourceText& text, dsl::Span span) {
  const dsl::Place place = dsl::shown_place({&text, 1}, span);
  dsl::Location location = dsl::locate(place.text->text, place.span);
  return {location.line, location.column, location.length, std::move(location.snippet)};
}

class Dissection {
 public:
  // `text`: the spec's program, with what it was made of.
  Dissection(const AttentionSpec& spec, dsl::SourceText text, const EngineOptions& options)
      : spec_(spec), text_(std::move(text)), options_(options) {
    options_.backend = Backend::kCompiled;
  }

  Result<PatternAnatomy> run(const BlockMaskOptions& call) {
    const auto whole = engine::prepare_pattern(spec_, options_, engine::Purpose::kShow);
    if (!whole) return whole.diagnostics();
    if (Diagnostics refused = engine::refuse_linear(**whole, "explain", "its parts are those of scores"); !refused.empty())
      return refused;
    const plan::KernelKey& key = (*whole)->key->key;
    anatomy_.decodes = engine::suits_decode(key.types, call);
    anatomy_.lanes = plan::lanes_of(key.target.isa, plan::arithmetic_of(key));
    programs_.push_back((*whole)->program);
    numbers_.push_back(-1);
    std::vector<dsl::Part> parts = dsl::list_parts({text_.name, text_.text});
    for (dsl::Part& part : parts) number_of_.push_back(add_part(part));
    hoist_with_parents();
    add_reads(**whole);
    return std::move(anatomy_);
  }

 private:
  plan::Nest nest() const { return anatomy_.decodes ? plan::Nest::kDecode : plan::Nest::kPrefill; }

  // Alone a part may be too cheap to be kept for a diagonal; inside of what is kept, it is computed there.
  void hoist_with_parents() {
    for (PatternPart& part : anatomy_.parts) {
      const auto outer = part.parent < 0 ? std::nullopt : anatomy_.parts[static_cast<std::size_t>(part.parent)].loop;
      if (part.loop == Loop::kScore && outer) part.loop = outer;
    }
  }

  // The number of the part in the anatomy, or of what stands for it there.
  std::int32_t add_part(dsl::Part& part) {
    const std::int32_t parent = part.parent < 0 ? -1 : number_of_[static_cast<std::size_t>(part.parent)];
    AttentionSpec variant = spec_;
    variant.language = TextLanguage::kFlex;
    variant.program = std::move(part.variant);
    const auto pattern = engine::prepare_pattern(variant, options_, engine::Purpose::kShow);
    if (!pattern) return parent;
    if (const auto same = std::ranges::find(programs_, (*pattern)->program); same != programs_.end()) {
      const std::int32_t number = numbers_[static_cast<std::size_t>(same - programs_.begin())];
      if (number >= 0 && is_said_better(anatomy_.parts[static_cast<std::size_t>(number)], part, number == parent)) {
        describe(anatomy_.parts[static_cast<std::size_t>(number)], part);
      }
      return number < 0 ? parent : number;
    }
    PatternPart& added = anatomy_.parts.emplace_back();
    added.parent = parent;
    added.decides_mask = part.decides_mask;
    added.variant = std::move(variant);
    describe(added, part);
    programs_.push_back((*pattern)->program);
    numbers_.push_back(static_cast<std::int32_t>(anatomy_.parts.size()) - 1);
    return numbers_.back();
  }

  // All that a result does is said best by the one part that does it, and what a let is for by what it is in; but not by a
  // name.
  bool is_said_better(const PatternPart& known, const dsl::Part& part, bool is_inside) const {
    const bool is_result = known.role == PartRole::kScore || known.role == PartRole::kMask;
    const std::string_view text = std::string_view(text_.text).substr(part.span.begin, part.span.end - part.span.begin);
    const bool is_name = text.find_first_of(" +-*/%(<>=&|!?~^[") == std::string_view::npos;
    return !is_name && ((is_result && is_inside) || known.role == PartRole::kLet);
  }

  void describe(PatternPart& to, const dsl::Part& part) {
    to.role = part.role;
    to.text = on_one_line(std::string_view(text_.text).substr(part.span.begin, part.span.end - part.span.begin));
    to.place = place_of(text_, part.span);
    to.replacement = part.replacement;
    to.depends_on_score = part.depends_on_score;
    to.loop = loop_of_probe(part.probe, nest());
    to.function = part.function;
    to.divisors = part.divisors;
  }

  void add_reads(const engine::Pattern& pattern) {
    const ir::Program& program = pattern.program;
    const plan::Hoisting hoisting = plan::hoist(program, nest());
    for (std::uint32_t i = 0; i < program.size(); ++i) {
      const ir::Id id{i};
      const ir::Op op = program.node(id).op;
      if (op != ir::Op::kRead && op != ir::Op::kDot) continue;
      const bool is_read = op == ir::Op::kRead;
      const std::uint32_t buffer = is_read ? program.read(id).buffer : program.dot(id).buffer_a;
      const bool checked = is_read ? program.read(id).checked : program.dot(id).checked;
      const std::uint32_t site = is_read ? program.read(id).site : program.dot(id).site;
      anatomy_.reads.push_back(
          {.buffer = pattern.interface.buffers[buffer].name,
           .place = checked ? place_of_site(pattern.interface.sites[site]) : place_of_proved(pattern.interface.sites, buffer),
           .loop = loop_of(hoisting.level[i]),
           .in_mask = hoisting.in_mask[i],
           .contiguous = hoisting.contiguous[i],
           .proved = !checked});
    }
  }

  static TextPlace place_of_site(const ir::ReadSite& site) { return {site.line, site.column, site.length, site.snippet}; }

  // A proved read has no site of its own, as it can never be reported.
  static TextPlace place_of_proved(const std::vector<ir::ReadSite>& sites, std::uint32_t buffer) {
    const auto of_buffer = [&](const ir::ReadSite& site) { return site.buffer == buffer; };
    if (std::ranges::count_if(sites, of_buffer) != 1) return {};
    return place_of_site(*std::ranges::find_if(sites, of_buffer));
  }

  const AttentionSpec& spec_;
  const dsl::SourceText text_;
  EngineOptions options_;
  PatternAnatomy anatomy_;
  std::vector<ir::Program> programs_;    // of the spec and of each part
  std::vector<std::int32_t> numbers_;    // of those parts; -1: the spec's own
  std::vector<std::int32_t> number_of_;  // by dsl::Part
};

// A literal that reads back as the value in a text of this precision.
std::string literal(const Scalar& value, support::Precision precision) {
  if (const bool* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  if (const auto* integer = std::get_if<std::int32_t>(&value)) return fmt::format("{}", *integer);
  const double number = std::get<double>(value);
  const bool is_fp32 = precision == support::Precision::kFp32;
  const std::string text = is_fp32 ? fmt::format("{}", static_cast<float>(number)) : fmt::format("{}", number);
  return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
}

Result<AttentionSpec> edited(const AttentionSpec& spec, const dsl::StatementEdit& edit, const char* what) {
  std::optional<std::string> text = dsl::edit_statement({spec.program_name, spec.program}, edit);
  if (!text) return engine::single_finding("edit", Finding::kUnknownBinding, what, edit.name, "");
  AttentionSpec result = spec;
  result.program = std::move(*text);
  return result;
}

// What every function here asks of a spec.
Diagnostics check_program(const AttentionSpec& spec, const char* call) {
  if (!spec.program.empty()) return {};
  return engine::single_finding(call, Finding::kBadOption, "program", "empty", "give the pattern in the form of a program");
}

Diagnostics check_text(const AttentionSpec& spec) {
  const Result<engine::TextSource> text = engine::source_of(spec);
  if (!text) return text.diagnostics();
  const Result<ir::Lowered> lowered = ir::lower_source(text->source);
  return lowered ? Diagnostics{} : lowered.diagnostics();
}

}  // namespace

std::string_view name_of(PartRole role) noexcept {
  switch (role) {
    case PartRole::kScore: return "score";
    case PartRole::kMask: return "mask";
    case PartRole::kLet: return "let";
    case PartRole::kTerm: return "term";
    case PartRole::kFactor: return "factor";
    case PartRole::kDivision: return "division";
    case PartRole::kCall: return "call";
    case PartRole::kBranch: return "branch";
    case PartRole::kIndex: return "index";
    case PartRole::kRead: return "read";
    case PartRole::kCondition: return "condition";
  }
  return "";
}

std::string_view name_of(Loop loop) noexcept {
  switch (loop) {
    case Loop::kTile: return "tile";
    case Loop::kRow: return "row";
    case Loop::kColumn: return "column";
    case Loop::kDiagonal: return "diagonal";
    case Loop::kScore: return "score";
  }
  return "";
}

Result<PatternAnatomy> dissect(const AttentionSpec& spec, const EngineOptions& options, const BlockMaskOptions& call) {
  return engine::guarded_on_large_stack("dissect", [&]() -> Result<PatternAnatomy> {
    if (Diagnostics wrong = check_program(spec, "dissect"); !wrong.empty()) return wrong;
    Result<engine::TextSource> text = engine::source_of(spec);
    if (!text) return text.diagnostics();
    return Dissection(spec, *std::move(text->source.file), options).run(call);
  });
}

Result<AttentionSpec> with_constant(const AttentionSpec& given, const std::string& name, const Scalar& value) {
  return engine::guarded_on_large_stack("with_constant", [&]() -> Result<AttentionSpec> {
    const Result<AttentionSpec> program = as_program(given);
    if (!program) return program.diagnostics();
    const AttentionSpec& spec = *program;
    if (Diagnostics wrong = check_program(spec, "with_constant"); !wrong.empty()) return wrong;
    if (Diagnostics wrong = check_text(spec); !wrong.empty()) return wrong;
    const auto* number = std::get_if<double>(&value);
    if (number != nullptr && !std::isfinite(support::rounded(engine::precision_of(spec), *number))) {
      return engine::single_finding("with_constant", Finding::kBadOption, name, *number, "give a finite value");
    }
    const std::string tail = " = " + literal(value, engine::precision_of(spec));
    Result<AttentionSpec> result =
        edited(spec, {.kind = dsl::StatementKind::kParam, .name = name, .head = "const ", .tail = tail}, "param");
    if (!result) return result;
    if (Diagnostics wrong = check_text(*result); !wrong.empty()) return wrong;
    return result;
  });
}

Result<AttentionSpec> with_extents(const AttentionSpec& given, const std::string& name,
                                   const std::vector<std::string>& extents) {
  return engine::guarded_on_large_stack("with_extents", [&]() -> Result<AttentionSpec> {
    const Result<AttentionSpec> program = as_program(given);
    if (!program) return program.diagnostics();
    const AttentionSpec& spec = *program;
    if (Diagnostics wrong = check_program(spec, "with_extents"); !wrong.empty()) return wrong;
    const std::string tail = fmt::format("[{}]", fmt::join(extents, ", "));
    Result<AttentionSpec> result =
        edited(spec, {.kind = dsl::StatementKind::kBuffer, .name = name, .head = "buffer ", .tail = tail}, "buffer");
    if (!result) return result;
    if (Diagnostics wrong = check_text(*result); !wrong.empty()) return wrong;
    return result;
  });
}

}  // namespace flexjit
