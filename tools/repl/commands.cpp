// The commands of a session, by name; help and completion come from the same table.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "command_line/failure.h"
#include "command_line/suggest.h"
#include "data/output_file.h"
#include "data/pattern.h"
#include "flexjit/inspect.h"
#include "flexjit/vocabulary.h"
#include "repl/interrupt.h"
#include "repl/session.h"

namespace flexjit::tools {
namespace {

struct SizeSetting {
  std::string_view name;
  std::optional<std::int64_t> SizeOptions::* member;
  std::int64_t largest;
};
constexpr std::int64_t kMaxLength = 1 << 20;  // beyond it a run takes minutes
constexpr SizeSetting kSizes[] = {{"batch", &SizeOptions::batch, kMaxLength},       {"heads", &SizeOptions::heads, kMaxLength},
                                  {"kv_heads", &SizeOptions::kv_heads, kMaxLength}, {"q_len", &SizeOptions::q_len, kMaxLength},
                                  {"kv_len", &SizeOptions::kv_len, kMaxLength},     {"head_dim", &SizeOptions::head_dim, 1024},
                                  {"v_head_dim", &SizeOptions::v_head_dim, 1024}};
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

Reply wrong(std::string kind, std::string source, std::string message) {
  return {.errors = {failure(std::move(kind), std::move(source), std::move(message))}};
}

std::optional<std::int64_t> whole_number(const std::string& text, std::int64_t largest) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1 || value > largest) return std::nullopt;
  return value;
}

Reply interrupted() { return {.text = "interrupted; the pattern stays as it is\n", .interrupted = true}; }

}  // namespace

struct Session::Command {
  std::string_view name, arguments, help;
  Reply (Session::*run)(const std::string&);
};

std::span<const Session::Command> Session::commands() {
  static constexpr Command kCommands[] = {
      {"help", "", "this list", &Session::help},
      {"show", "", "the pattern and the settings", &Session::show},
      {"set", "NAME VALUE",
       "a size, dtype, threads, a param or a buffer's .npy file, as in :set q_len 2048; nothing: the settings", &Session::set},
      {"mask", "", "the mask as a picture", &Session::mask},
      {"speed", "", "how fast the pattern runs", &Session::speed},
      {"inspect", "VIEW", "ast, ir, simplified, intervals, llvm or asm", &Session::inspect_view},
      {"undo", "", "the pattern before the last change", &Session::undo},
      {"reset", "", "an empty pattern", &Session::reset},
      {"save", "FILE", "write the pattern as a *.flex file", &Session::save},
      {"load", "FILE", "the pattern of a *.flex file instead of this one", &Session::load},
      {"quit", "", "leave; so does the end of the input", &Session::quit}};
  return kCommands;
}

std::vector<std::string> Session::command_names() {
  std::vector<std::string> names;
  for (const Command& command : commands()) names.emplace_back(command.name);
  return names;
}

std::vector<std::string> Session::setting_names() {
  std::vector<std::string> names;
  for (const SizeSetting& size : kSizes) names.emplace_back(size.name);
  names.insert(names.end(), {"dtype", "threads"});
  return names;
}

std::vector<std::string> Session::view_names() {
  std::vector<std::string> names;
  for (const InspectViewInfo& view : inspect_views()) names.emplace_back(view.name);
  return names;
}

// By its name, or by how no other name begins: `:q`.
const Session::Command* Session::find_command(const std::string& name) {
  const Command* found = nullptr;
  for (const Command& command : commands()) {
    if (command.name == name) return &command;
    if (name.empty() || !command.name.starts_with(name)) continue;
    if (found != nullptr) return nullptr;
    found = &command;
  }
  return found;
}

Reply Session::enter_command(const std::string& line) {
  const std::size_t blank = line.find_first_of(" \t\r");
  const std::string name = line.substr(0, blank);
  const std::string rest = blank == std::string::npos ? "" : trimmed(line.substr(blank));
  if (const Command* command = find_command(name)) return (this->*command->run)(rest);
  const std::string near = name == "exit" ? "quit" : nearest(name, command_names());
  return wrong("unknown-command", ":" + name,
               near.empty() ? "is no command, nor the beginning of only one; `:help` lists them"
                            : fmt::format("is no command; did you mean `:{}`? `:help` lists them", near));
}

Reply Session::help(const std::string&) {
  std::string text =
      "Type a statement (score = ..., mask = ..., let, const, param, buffer, def), or an expression that is a score or a "
      "mask.\n"
      "A name that is defined again takes the place of the old one.\n";
  text += "A command may be cut short as long as no other begins alike: :q is :quit.\n";
  for (const Command& command : commands())
    text += fmt::format("  :{:<8}{:<12}{}\n", command.name, command.arguments, command.help);
  return {.text = std::move(text)};
}

Reply Session::show(const std::string&) { return {.text = text_.program() + set("").text}; }

Reply Session::reset(const std::string&) {
  before_.push_back(std::exchange(text_, {}));
  return {};
}

Reply Session::undo(const std::string&) {
  if (before_.empty()) return wrong("nothing-to-undo", ":undo", "nothing has changed yet");
  text_ = std::move(before_.back());
  before_.pop_back();
  return {.text = text_.program()};
}

bool Session::set_size(const std::string& name, const std::string& value, Diagnostics& errors) {
  const auto size = std::ranges::find(kSizes, name, &SizeSetting::name);
  if (size == std::end(kSizes)) return false;
  if (const auto number = whole_number(value, size->largest))
    options_.sizes.*size->member = number;
  else
    errors.push_back(failure("usage", ":set " + name, fmt::format("`{}` is no number from 1 to {}", value, size->largest)));
  return true;
}

Reply Session::set(const std::string& rest) {
  const Sizes s = sizes_without_files(options_.sizes);
  if (rest.empty()) {
    std::string text = fmt::format(
        "# batch {}, heads {}, kv_heads {}, q_len {}, kv_len {}, head_dim {}, v_head_dim {}, dtype {}, threads {}\n", s.batch,
        s.heads, s.kv_heads, s.q_len, s.kv_len, s.head_dim, s.v_head_dim, name_of(options_.dtypes.q), options_.threads);
    for (const auto* bound : {&options_.names.params, &options_.names.buffers})
      for (const std::string& binding : *bound) text += fmt::format("# {}\n", binding);
    return {.text = std::move(text)};
  }
  const std::size_t blank = rest.find_first_of(" \t=");
  const std::string name = rest.substr(0, blank);
  const std::string value = blank == std::string::npos ? "" : trimmed(rest.substr(blank + 1));
  Reply reply;
  if (set_size(name, value, reply.errors)) return reply;
  if (name == "threads") {
    const auto threads = whole_number(value, 4096);
    if (!threads) return wrong("usage", ":set threads", fmt::format("`{}` is no number from 1 to 4096", value));
    options_.threads = static_cast<int>(*threads);
    return reply;
  }
  if (name == "dtype") {
    const auto dtype = std::ranges::find(kDTypes, value, [](DType type) { return name_of(type); });
    if (dtype == std::end(kDTypes))
      return wrong("usage", ":set dtype", fmt::format("`{}` is not f32, bf16, f16 or f64", value));
    options_.dtypes.q = *dtype;
    return reply;
  }
  const auto known = std::ranges::find(text_.definitions, name, &Definition::name);
  const bool is_param = known != text_.definitions.end() && known->text.starts_with("param");
  if (!is_param && (known == text_.definitions.end() || !known->text.starts_with("buffer")))
    return wrong("unknown-name", ":set",
                 fmt::format("there is no setting and no param or buffer `{}`; `:set` lists the settings", name));
  std::vector<std::string>& bound = is_param ? options_.names.params : options_.names.buffers;
  std::erase_if(bound, [&](const std::string& binding) { return binding.starts_with(name + "="); });
  if (!value.empty()) bound.push_back(name + "=" + value);
  return reply;
}

Reply Session::mask(const std::string&) {
  if (text_.mask.empty()) return {.text = "no mask: every pair is allowed\n"};
  auto drawn = until_interrupted<Result<std::string>>([self = *this](const std::stop_token&) { return self.picture(); });
  if (!drawn) return interrupted();
  if (!*drawn) return {.errors = drawn->diagnostics()};
  return {.text = std::move(**drawn)};
}

Reply Session::speed(const std::string&) {
  const auto measured =
      until_interrupted<Result<Speed>>([self = *this](const std::stop_token& stop) { return self.measure(stop); });
  if (!measured) return interrupted();
  if (!*measured) return {.errors = measured->diagnostics()};
  const Speed& speed = **measured;
  const Sizes s = sizes_without_files(options_.sizes);
  const bool reads = speed.limit.read_gbps.has_value();
  const std::string rate = speed.limit.is_too_small(speed.work)
                               ? speed.limit.text_of(speed.work, speed.run_ms)
                               : fmt::format("{:.1f} {}, {:.0f} % of the {}", speed.limit.rate_of(speed.work, speed.run_ms),
                                             reads ? "GB/s" : "GFLOP/s", speed.limit.percent_of(speed.work, speed.run_ms),
                                             reads ? "read bandwidth" : "peak");
  std::string text = fmt::format(
      "{:.3f} ms, {}; compiled in {:.1f} ms (batch {}, heads {}, q_len {}, kv_len {}, {} "
      "thread{})\n",
      speed.run_ms, rate, speed.compile_ms, s.batch, s.heads, s.q_len, s.kv_len, options_.threads,
      options_.threads == 1 ? "" : "s");
  if (const std::string warning = speed.limit.warning(options_.threads); !warning.empty())
    text += fmt::format("warning: {}\n", warning);
  return {.text = std::move(text), .speed = speed};
}

Reply Session::inspect_view(const std::string& rest) {
  const std::string name = rest.empty() ? "simplified" : rest;
  const auto view = std::ranges::find(inspect_views(), name, &InspectViewInfo::name);
  if (view == inspect_views().end()) {
    std::string names;
    for (const InspectViewInfo& known : inspect_views()) names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    return wrong("usage", ":inspect", fmt::format("`{}` is no view; there are {}", name, names));
  }
  using Views = Result<std::vector<Inspection>>;
  const auto shown = until_interrupted<Views>(
      [spec = spec(text_), view = view->view](const std::stop_token&) { return inspect(spec, {}, {.views = {view}}); });
  if (!shown) return interrupted();
  if (!*shown) return {.errors = shown->diagnostics()};
  return {.text = (**shown).front().text};
}

Reply Session::save(const std::string& rest) {
  if (rest.empty()) return wrong("usage", ":save", "needs the name of a file");
  if (const Status written = write_file(rest, text_.program()); !written) return {.errors = written.diagnostics()};
  return {.text = fmt::format("wrote {}\n", rest)};
}

Reply Session::load(const std::string& rest) {
  if (rest.empty()) return wrong("usage", ":load", "needs the name of a file");
  return begin({.file = rest});
}

Reply Session::begin(const PatternOptions& pattern) {
  if (const Result<AttentionSpec> flags = with_flags({}, options_.pattern.flags); flags)
    flags_ = *flags;
  else
    return {.errors = flags.diagnostics()};
  if (pattern.file.empty() && pattern.statements.empty() && pattern.preset.empty()) return {};
  const Result<AttentionSpec> spec = load_pattern(pattern);
  if (!spec) return {.errors = spec.diagnostics()};
  Text text;
  for (const std::string& statement : split_statements(spec->program)) text.put(statement);
  if (Diagnostics errors = check(text); !errors.empty()) return {.errors = std::move(errors)};
  return accept(std::move(text));
}

Reply Session::quit(const std::string&) { return {.ends_session = true}; }

}  // namespace flexjit::tools
