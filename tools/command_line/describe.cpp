// The lists of describe_tree.h -> scripts of three shells, and roff.
#include "command_line/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string_view>
#include <vector>

#include "command_line/describe_tree.h"

namespace flexjit::tools {
namespace {

std::string replaced(std::string_view text, const std::map<char, std::string_view>& by) {
  std::string result;
  for (const char c : text) {
    const auto found = by.find(c);
    if (found != by.end()) {
      result += found->second;
    } else {
      result += c;
    }
  }
  return result;
}

// Inside single quotes of a shell.
std::string in_quotes(std::string_view text) { return "'" + replaced(text, {{'\'', "'\\''"}}) + "'"; }

std::vector<std::string> names_inside(const std::vector<DescribedCommand>& commands, const std::string& outer) {
  std::vector<std::string> names;
  const std::string prefix = outer.empty() ? "" : outer + " ";
  for (const DescribedCommand& command : commands) {
    if (command.name.empty() || !command.name.starts_with(prefix)) continue;
    const std::string rest = command.name.substr(prefix.size());
    if (!rest.empty() && rest.find(' ') == std::string::npos) names.push_back(rest);
  }
  return names;
}

std::vector<std::string> option_names(const DescribedCommand& command) {
  std::vector<std::string> names;
  for (const DescribedOption& option : command.options) names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

// The command is what words before the cursor name, as far as they do; the word before the cursor may want a value.
std::string bash_completion(const std::vector<DescribedCommand>& commands) {
  std::string words, values;
  std::vector<std::string> all;
  for (const DescribedCommand& command : commands) {
    std::vector<std::string> here = names_inside(commands, command.name);
    const std::vector<std::string> options = option_names(command);
    here.insert(here.end(), options.begin(), options.end());
    words += fmt::format("    {}) words={};;\n", in_quotes(command.name), in_quotes(fmt::format("{}", fmt::join(here, " "))));
    if (!command.name.empty()) all.push_back(in_quotes(command.name));
    for (const DescribedOption& option : command.options) {
      if (!option.takes_value) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names) patterns.push_back(in_quotes(command.name + " " + name));
      values += fmt::format("    {}) values={};;\n", fmt::join(patterns, "|"),
                            in_quotes(fmt::format("{}", fmt::join(option.choices, " "))));
    }
  }
  return fmt::format(R"(# bash completion of flexjit.
_flexjit() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command='' words='' values=none word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "${{command:+$command }}$word" in
    {}) command="${{command:+$command }}$word";;
    esac
  done
  case "$command" in
{}  esac
  case "$command $before" in
{}  esac
  if [[ $values == none ]]; then COMPREPLY=($(compgen -W "$words" -- "$current"))
  elif [[ -n $values ]]; then COMPREPLY=($(compgen -W "$values" -- "$current"))
  fi
}}
complete -o default -F _flexjit flexjit
)",
                     fmt::join(all, "|"), words, values);
}

std::string zsh_option(const DescribedOption& option) {
  const std::string help = replaced(option.help, {{'[', "\\["}, {']', "\\]"}, {':', "\\:"}});
  std::string value;
  if (option.takes_value) {
    value = !option.optional_value.empty() ? "::value:_files"
            : option.choices.empty()       ? ":value:_files"
                                           : fmt::format(":value:({})", fmt::join(option.choices, " "));
  }
  std::string text;
  for (const std::string& name : option.names)
    text += fmt::format(" \\\n      {}", in_quotes(fmt::format("*{}[{}]{}", name, help, value)));
  return text;
}

std::string zsh_completion(const std::vector<DescribedCommand>& commands) {
  std::string cases;
  for (const DescribedCommand& command : commands) {
    std::string arguments;
    for (const DescribedOption& option : command.options) arguments += zsh_option(option);
    const std::vector<std::string> inside = names_inside(commands, command.name);
    if (!inside.empty()) {
      arguments += fmt::format(" \\\n      {}", in_quotes(fmt::format("1:command:({})", fmt::join(inside, " "))));
    }
    cases += fmt::format("  {})\n    _arguments{} \\\n      '*:file:_files';;\n", in_quotes(command.name), arguments);
  }
  std::vector<std::string> all;
  for (const DescribedCommand& command : commands)
    if (!command.name.empty()) all.push_back(in_quotes(command.name));
  return fmt::format(R"(#compdef flexjit
local chosen='' word
for word in "${{(@)words[2,CURRENT-1]}}"; do
  case "${{chosen:+$chosen }}$word" in
  {}) chosen="${{chosen:+$chosen }}$word";;
  esac
done
case "$chosen" in
{}esac
)",
                     fmt::join(all, "|"), cases);
}

// `cache prune` is seen once both words are.
std::string fish_condition(const std::string& command) {
  if (command.empty()) return "__fish_use_subcommand";
  std::string condition;
  for (const char c : command + " ") {
    if (c != ' ') {
      condition += c;
      continue;
    }
    condition = condition.substr(0, condition.rfind(' ') + 1) + "__fish_seen_subcommand_from " +
                condition.substr(condition.rfind(' ') + 1) + "; and ";
  }
  return condition.substr(0, condition.size() - 6);
}

std::string fish_completion(const std::vector<DescribedCommand>& commands) {
  std::string text = "# fish completion of flexjit.\n";
  const auto line = [&](const std::string& condition, const std::string& rest, const std::string& help) {
    text += fmt::format("complete -c flexjit -n {} {} -d {}\n", in_quotes(condition), rest,
                        in_quotes(replaced(help, {{'\\', "\\\\"}})));
  };
  for (const DescribedCommand& command : commands) {
    const std::size_t space = command.name.rfind(' ');
    const std::string outer = space == std::string::npos ? "" : command.name.substr(0, space);
    if (!command.name.empty()) line(fish_condition(outer), "-a " + command.name.substr(space + 1), command.help);
    for (const DescribedOption& option : command.options) {
      std::string rest;
      for (const std::string& name : option.names)
        rest += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option.choices.empty())
        rest += fmt::format(" -x -a {}", in_quotes(fmt::format("{}", fmt::join(option.choices, " "))));
      if (option.takes_value && option.optional_value.empty() && option.choices.empty()) rest += " -r";
      line(fish_condition(command.name), rest.substr(1), option.help);
    }
  }
  return text;
}

// roff reads backslashes, and a dot or apostrophe at the begin of a line; dashes are to be copied as they are.
std::string roff(std::string_view text) {
  std::string result = replaced(text, {{'\\', "\\e"}, {'-', "\\-"}});
  std::string lines;
  for (std::size_t begin = 0; begin <= result.size();) {
    const std::size_t end = std::min(result.find('\n', begin), result.size());
    const std::string line = result.substr(begin, end - begin);
    if (line.starts_with('.') || line.starts_with('\'')) lines += "\\&";
    lines += line + (end < result.size() ? "\n" : "");
    begin = end + 1;
  }
  return lines;
}

std::string manual_option(const DescribedOption& option) {
  std::string value = option.choices.empty() ? "VALUE" : fmt::format("{}", fmt::join(option.choices, "|"));
  if (!option.takes_value) value.clear();
  if (!option.optional_value.empty()) value = option.optional_value;
  std::string text = fmt::format(".TP\n.B {}", roff(fmt::format("{}", fmt::join(option.names, ", "))));
  if (!value.empty()) text += " \\fI" + roff(value) + "\\fR";
  text += "\n" + roff(option.help);
  if (!option.initial.empty()) text += " [" + roff(option.initial) + "]";
  return text + "\n";
}

void print_and_stop(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  throw CLI::Success();
}

}  // namespace

std::string completion_of(const CLI::App& app, Shell shell) {
  const std::vector<DescribedCommand> commands = commands_of(app);
  switch (shell) {
    case Shell::kBash: return bash_completion(commands);
    case Shell::kZsh: return zsh_completion(commands);
    case Shell::kFish: return fish_completion(commands);
  }
  return {};
}

std::string manual_of(const CLI::App& app) {
  const std::vector<DescribedCommand> commands = commands_of(app);
  std::string text =
      fmt::format(".TH FLEXJIT 1\n.SH NAME\nflexjit \\- {}\n.SH SYNOPSIS\n.B flexjit\n\\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n",
                  roff(commands.front().help));
  for (const DescribedCommand& command : commands) {
    if (command.name.empty()) {
      text += ".SH OPTIONS\n";
    } else {
      text += fmt::format(".SH flexjit {}\n{}\n", roff(command.name), roff(command.help));
      if (!command.positionals.empty())
        text += fmt::format(".PP\nArguments: {}\n", roff(fmt::format("{}", fmt::join(command.positionals, " "))));
    }
    for (const DescribedOption& option : command.options) text += manual_option(option);
    if (!command.footer.empty()) text += fmt::format(".PP\n.nf\n{}\n.fi\n", roff(command.footer));
  }
  return text;
}

void add_descriptions(CLI::App& app) {
  const std::map<std::string, Shell> shells{{"bash", Shell::kBash}, {"zsh", Shell::kZsh}, {"fish", Shell::kFish}};
  app.add_option_function<std::string>(
         "--completion", [&app, shells](const std::string& name) { print_and_stop(completion_of(app, shells.at(name))); },
         "Print a completion script")
      ->check(CLI::IsMember(shells))
      ->group("");
  app.add_flag_callback("--man", [&app] { print_and_stop(manual_of(app)); }, "Print the manual page")->group("");
}

}  // namespace flexjit::tools
