// Undeclared extents ("?") become q_len + kv_len: enough for every relative position, which is what they mostly hold.
#include "data/bind.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "command_line/failure.h"
#include "data/generate.h"
#include "data/npy.h"
#include "flexjit/anatomy.h"

namespace flexjit::tools {
namespace {

constexpr std::int64_t kMaxGenerated = std::int64_t{1} << 30;  // elements

void append(Diagnostics& to, const Diagnostics& from) { to.insert(to.end(), from.begin(), from.end()); }

struct Assignment {
  std::string name, value;
};

std::optional<Assignment> split(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  return Assignment{text.substr(0, equals), text.substr(equals + 1)};
}

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Scalar> parse_scalar(const std::string& text, const Scalar& like) {
  if (std::holds_alternative<bool>(like)) {
    if (text == "true" || text == "1") return Scalar(true);
    if (text == "false" || text == "0") return Scalar(false);
    return std::nullopt;
  }
  if (std::holds_alternative<double>(like)) {
    const auto value = parse_number<double>(text);
    return value ? std::optional<Scalar>(*value) : std::nullopt;
  }
  const auto value = parse_number<std::int32_t>(text);
  return value ? std::optional<Scalar>(*value) : std::nullopt;
}

std::string_view type_text(const Scalar& scalar) {
  if (std::holds_alternative<bool>(scalar)) return "bool";
  return std::holds_alternative<double>(scalar) ? "float" : "int";
}

template <typename Declaration>
std::string names_of(const std::vector<Declaration>& declarations) {
  std::string names;
  for (const auto& declaration : declarations) names += (names.empty() ? "" : ", ") + declaration.name;
  return names.empty() ? "none" : names;
}

template <typename Declaration>
const Declaration* find(const std::vector<Declaration>& declarations, const std::string& name) {
  for (const auto& declaration : declarations)
    if (declaration.name == name) return &declaration;
  return nullptr;
}

Diagnostics bind_params(const std::vector<ParamDeclaration>& declared, const std::vector<std::string>& given,
                        Bindings& bindings) {
  Diagnostics errors;
  for (const std::string& text : given) {
    const auto assignment = split(text);
    if (!assignment) {
      errors.push_back(failure("param-value", "--param", fmt::format("`{}` is not of the form name=value", text)));
      continue;
    }
    const auto* param = find(declared, assignment->name);
    if (param == nullptr) {
      errors.push_back(failure("unknown-name", "--param",
                               fmt::format("the pattern has no param `{}`; it has: {}", assignment->name, names_of(declared))));
      continue;
    }
    const auto value = parse_scalar(assignment->value, param->default_value);
    if (value)
      bindings.params[param->name] = *value;
    else
      errors.push_back(failure(
          "param-value", "--param",
          fmt::format("`{}` is not a value of {} : {}", assignment->value, param->name, type_text(param->default_value))));
  }
  return errors;
}

// A declared extent under these sizes and params.
std::int64_t extent_value(const std::string& extent, const Sizes& sizes, const Attention& attention, const Bindings& bindings) {
  const std::pair<std::string_view, std::int64_t> builtins[] = {{"q_len", sizes.q_len},      {"kv_len", sizes.kv_len},
                                                                {"num_heads", sizes.heads},  {"num_kv_heads", sizes.kv_heads},
                                                                {"batch_size", sizes.batch}, {"?", sizes.q_len + sizes.kv_len}};
  for (const auto& [name, value] : builtins)
    if (extent == name) return value;
  if (const auto number = parse_number<std::int64_t>(extent)) return *number;
  Scalar value = std::int32_t{0};
  for (const ParamDeclaration& param : attention.params())
    if (param.name == extent) value = param.default_value;
  if (const auto bound = bindings.params.find(extent); bound != bindings.params.end()) value = bound->second;
  const auto* number = std::get_if<std::int32_t>(&value);
  return number != nullptr ? *number : 0;
}

class BufferBinder {
 public:
  BufferBinder(const Attention& attention, const NameOptions& options, const Sizes& sizes, BoundNames& names)
      : attention_(attention), options_(options), sizes_(sizes), names_(names), declared_(attention.buffers()) {}

  Diagnostics bind(Inputs inputs) {
    for (const std::string& text : options_.buffers) load(text);
    if (!errors_.empty()) return errors_;
    const bool files = inputs == Inputs::kFromFiles || !options_.buffers.empty();
    for (std::size_t i = 0; i < declared_.size(); ++i) {
      if (names_.bindings.buffers.contains(declared_[i].name)) continue;
      const bool unread = std::ranges::find(options_.unread, declared_[i].name) != options_.unread.end();
      if (files && !unread && options_.unbound == Unbound::kGeneratedWithoutFiles)
        refuse(declared_[i]);
      else
        generate(declared_[i], i);
    }
    return errors_;
  }

 private:
  void refuse(const BufferDeclaration& buffer) {
    errors_.push_back(failure(
        "missing-binding", buffer.name,
        fmt::format("the buffer `{0}` is bound to nothing, and other inputs come from files, so that made-up values would "
                    "give a result of neither; give it with --buffer {0}=FILE.npy, or have it made up with --generate",
                    buffer.name)));
  }

  void load(const std::string& text) {
    const auto assignment = split(text);
    const auto* buffer = assignment ? find(declared_, assignment->name) : nullptr;
    if (buffer == nullptr) {
      errors_.push_back(
          assignment ? failure("unknown-name", "--buffer",
                               fmt::format("the pattern has no buffer `{}`; it has: {}", assignment->name, names_of(declared_)))
                     : failure("unknown-name", "--buffer", fmt::format("`{}` is not of the form NAME=FILE", text)));
      return;
    }
    Result<Array> array = read_npy(assignment->value);
    if (array) array = convert(*array, buffer->dtype, assignment->value);
    if (array)
      keep(*buffer, std::move(*array));
    else
      append(errors_, array.diagnostics());
  }

  void generate(const BufferDeclaration& buffer, std::size_t slot) {
    std::vector<std::int64_t> shape;
    double elements = 1;
    for (int d = 0; d < buffer.rank; ++d) {
      const bool declared = static_cast<std::size_t>(d) < buffer.extents.size();
      shape.push_back(
          extent_value(declared ? buffer.extents[static_cast<std::size_t>(d)] : "?", sizes_, attention_, names_.bindings));
      elements *= static_cast<double>(shape.back());
      if (shape.back() < 0) elements = -1;
    }
    if (elements < 0 || elements > static_cast<double>(kMaxGenerated)) {
      errors_.push_back(failure(
          "buffer-extent", buffer.name,
          fmt::format("cannot be generated with shape {}; give it with --buffer {}=FILE.npy", shape_text(shape), buffer.name)));
      return;
    }
    names_.generated.push_back(fmt::format("{}: {} {}", buffer.name, name_of(buffer.dtype), shape_text(shape)));
    keep(buffer, buffer_array(buffer, shape, sizes_.kv_len, {options_.seed, 3 + slot}));
  }

  void keep(const BufferDeclaration& buffer, Array array) {
    names_.storage.push_back(std::move(array));
    names_.bindings.buffers[buffer.name] = names_.storage.back().view();
  }

  const Attention& attention_;
  const NameOptions& options_;
  const Sizes& sizes_;
  BoundNames& names_;
  std::vector<BufferDeclaration> declared_;
  Diagnostics errors_;
};

}  // namespace

std::vector<std::string> BoundNames::samples() const {
  std::vector<std::string> names;
  for (const std::string& text : generated) names.push_back(text.substr(0, text.find(':')));
  return names;
}

std::vector<std::string> unread_by_mask(AttentionSpec spec, const Attention& attention, const Sizes& sizes) {
  if (spec.program.empty()) spec.program = "score = score\n";  // flags alone
  const Result<PatternAnatomy> anatomy = dissect(spec, {}, mask_options_of(sizes));
  if (!anatomy) return {};
  std::vector<std::string> unread;
  for (const BufferDeclaration& buffer : attention.buffers()) {
    const auto of_it = [&](const CapturedRead& read) { return read.buffer == buffer.name; };
    const auto decides = [&](const CapturedRead& read) { return of_it(read) && read.in_mask; };
    // What no read names may be read in another way, as lengths are.
    if (std::ranges::any_of(anatomy->reads, of_it) && std::ranges::none_of(anatomy->reads, decides))
      unread.push_back(buffer.name);
  }
  return unread;
}

Result<BoundNames> bind_names(const Attention& attention, const NameOptions& options, const Sizes& sizes, Inputs inputs) {
  BoundNames names;
  Diagnostics errors = bind_params(attention.params(), options.params, names.bindings);
  append(errors, BufferBinder(attention, options, sizes, names).bind(inputs));
  if (!errors.empty()) return errors;
  return Result<BoundNames>(std::move(names));
}

}  // namespace flexjit::tools
