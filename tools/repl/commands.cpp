// The commands of a session, by name; help and completion come from the same table.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>

#include "failure.h"
#include "flexjit/inspect.h"
#include "flexjit/vocabulary.h"
#include "pattern.h"
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
                                  {"kv_len", &SizeOptions::kv_len, kMaxLength},     {"head_dim", &SizeOptions::head_dim, 512},
                                  {"v_head_dim", &SizeOptions::v_head_dim, 512}};
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

}  // namespace

struct Session::Command {
  std::string_view name, arguments, help;
  Reply (Session::*run)(const std::string&);
};

std::span<const Session::Command> Session::commands() {
  static constexpr Command kCommands[] = {
      {"help", "", "this list", &Session::help},
      {"show", "", "the pattern and the settings", &Session::show},
      {"set", "NAME VALUE", "a size, dtype, threads or a param, as in :set q_len 2048; nothing: the settings", &Session::set},
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

Reply Session::enter_command(const std::string& line) {
  const std::size_t blank = line.find_first_of(" \t\r");
  const std::string name = line.substr(0, blank);
  const std::string rest = blank == std::string::npos ? "" : trimmed(line.substr(blank));
  for (const Command& command : commands()) {
    if (command.name == name) return (this->*command.run)(rest);
  }
  return wrong("unknown-command", ":" + name, "is no command; `:help` lists them");
}

Reply Session::help(const std::string&) {
  std::string text =
      "Type a statement (score = ..., mask = ..., let, const, param, buffer, def), or an expression that is a score or a "
      "mask.\n"
      "A name that is defined again takes the place of the old one.\n";
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
    for (const std::string& param : options_.names.params) text += fmt::format("# {}\n", param);
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
  const bool known = std::ranges::any_of(text_.definitions, [&](const Definition& definition) {
    return definition.name == name && definition.text.starts_with("param");
  });
  if (!known)
    return wrong("unknown-name", ":set", fmt::format("there is no setting and no param `{}`; `:set` lists the settings", name));
  std::erase_if(options_.names.params, [&](const std::string& param) { return param.starts_with(name + "="); });
  options_.names.params.push_back(name + "=" + value);
  return reply;
}

Reply Session::mask(const std::string&) {
  if (text_.mask.empty()) return {.text = "no mask: every pair is allowed\n"};
  Result<std::string> drawn = picture();
  if (!drawn) return {.errors = drawn.diagnostics()};
  return {.text = std::move(*drawn)};
}

Reply Session::speed(const std::string&) {
  const Result<Speed> measured = measure();
  if (!measured) return {.errors = measured.diagnostics()};
  const Sizes s = sizes_without_files(options_.sizes);
  return {.text = fmt::format("{:.3f} ms, {:.1f} GFLOP/s, {:.0f} % of the peak; compiled in {:.1f} ms (batch {}, heads {}, "
                              "q_len {}, kv_len {}, {} thread{})\n",
                              measured->run_ms, measured->useful_gflops, measured->percent_of_peak, measured->compile_ms,
                              s.batch, s.heads, s.q_len, s.kv_len, options_.threads, options_.threads == 1 ? "" : "s"),
          .speed = *measured};
}

Reply Session::inspect_view(const std::string& rest) {
  const std::string name = rest.empty() ? "simplified" : rest;
  const auto view = std::ranges::find(inspect_views(), name, &InspectViewInfo::name);
  if (view == inspect_views().end()) {
    std::string names;
    for (const InspectViewInfo& known : inspect_views()) names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
    return wrong("usage", ":inspect", fmt::format("`{}` is no view; there are {}", name, names));
  }
  const Result<std::vector<Inspection>> shown = inspect(spec(), {}, {.views = {view->view}});
  if (!shown) return {.errors = shown.diagnostics()};
  return {.text = shown->front().text};
}

Reply Session::save(const std::string& rest) {
  if (rest.empty()) return wrong("usage", ":save", "needs the name of a file");
  std::ofstream out(rest, std::ios::binary);
  out << text_.program();
  out.close();
  if (!out) return wrong("unwritable-file", rest, fmt::format("cannot be written: {}", std::strerror(errno)));
  return {.text = fmt::format("wrote {}\n", rest)};
}

Reply Session::load(const std::string& rest) {
  if (rest.empty()) return wrong("usage", ":load", "needs the name of a file");
  const Result<AttentionSpec> spec = load_pattern({.file = rest, .statements = {}});
  if (!spec) return {.errors = spec.diagnostics()};
  Text text;
  for (const std::string& statement : split_statements(spec->program)) text.put(statement);
  if (Diagnostics errors = check(text); !errors.empty()) return {.errors = std::move(errors)};
  return accept(std::move(text));
}

Reply Session::quit(const std::string&) { return {.ends_session = true}; }

}  // namespace flexjit::tools
