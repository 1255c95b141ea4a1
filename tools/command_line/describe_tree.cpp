// By CLI11's own questions; the choices of an option are in the text that its validators give it.
#include "command_line/describe_tree.h"

#include <algorithm>
#include <utility>

namespace flexjit::tools {
namespace {

std::string on_one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

// "TEXT:{a,b}" and "value in {a->0,b->1} OR {0,1}" have the choices a and b.
std::vector<std::string> choices_in(const std::string& type) {
  std::vector<std::string> choices;
  const std::size_t open = type.find('{'), close = type.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return choices;
  for (std::size_t begin = open + 1; begin < close;) {
    const std::size_t end = std::min(type.find(',', begin), close);
    const std::string word = type.substr(begin, end - begin);
    choices.push_back(word.substr(0, word.find("->")));
    begin = end + 1;
  }
  return choices;
}

DescribedOption described(const CLI::Option& option) {
  DescribedOption result;
  result.help = on_one_line(option.get_description());
  const bool optional = option.get_type_name().starts_with('[');  // so says who made it
  result.takes_value = optional || (option.get_type_size() != 0 && option.get_items_expected_max() != 0);
  if (optional) result.optional_value = option.get_type_name();
  for (const std::string& name : option.get_snames()) result.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) result.names.push_back("--" + name);
  if (option.get_group() != "Options" && option.get_group() != "OPTIONS") result.group = option.get_group();
  if (!result.takes_value) return result;
  result.choices = choices_of(option);
  result.initial = option.get_default_str();
  return result;
}

void add_command(const CLI::App& app, const std::string& name, std::vector<DescribedCommand>& commands) {
  DescribedCommand& command = commands.emplace_back();
  command.name = name;
  command.help = on_one_line(app.get_description());
  command.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    if (option->get_positional()) {
      command.positionals.push_back(option->get_name(true));
    } else {
      command.options.push_back(described(*option));
    }
  }
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!sub->get_group().empty()) add_command(*sub, name.empty() ? sub->get_name() : name + " " + sub->get_name(), commands);
  }
}

}  // namespace

std::vector<std::string> choices_of(const CLI::Option& option) { return choices_in(option.get_type_name()); }

std::vector<DescribedCommand> commands_of(const CLI::App& app) {
  std::vector<DescribedCommand> commands;
  add_command(app, "", commands);
  return commands;
}

}  // namespace flexjit::tools
