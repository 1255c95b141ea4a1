// Optimal string alignment distance, over words without their hyphens: --qlen is --q-len at once.
#include "command_line/suggest.h"

#include <algorithm>

#include "command_line/describe_tree.h"

namespace flexjit::tools {
namespace {

std::string without_hyphens(std::string_view word) {
  std::string letters(word);
  std::erase_if(letters, [](char c) { return c == '-' || c == '_'; });
  return letters;
}

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  const std::string letters = without_hyphens(word);
  std::string best;
  std::size_t least = std::max<std::size_t>(letters.size() / 3, 1) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t own = distance(letters, without_hyphens(candidate));
    if (own >= least) continue;
    least = own;
    best = candidate;
  }
  return best;
}

namespace {

// The option of this name, "--dtype" or "-e".
const CLI::Option* find_option(const CLI::App& command, const std::string& name) {
  const auto options = command.get_options();
  const auto found = std::ranges::find_if(options, [&](const CLI::Option* option) { return option->check_name(name); });
  return found == options.end() ? nullptr : *found;
}

// "-q-len" is "--q-len" with a hyphen too few.
std::string near_option(const CLI::App& command, const std::string& name) {
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& word : option->get_lnames()) known.push_back("--" + word);
  return nearest(name, known);
}

// For a value, or several with commas, that is none of those that the option takes.
std::string near_choice(const CLI::Option& option, std::string_view text) {
  const std::vector<std::string> choices = choices_of(option);
  while (!choices.empty() && !text.empty()) {
    const std::string value(text.substr(0, text.find(',')));
    if (std::ranges::find(choices, value) == choices.end()) return nearest(value, choices);
    text.remove_prefix(std::min(value.size() + 1, text.size()));
  }
  return "";
}

}  // namespace

std::string did_you_mean(const CLI::App& app, std::span<const std::string> words) {
  const CLI::App* command = &app;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    std::string near;
    if (word.starts_with("-") && word.size() > 1) {
      const std::size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      const CLI::Option* option = find_option(*command, name);
      if (option == nullptr && name.size() > 2)
        near = near_option(*command, name);
      else if (option != nullptr && equals != std::string::npos)
        near = near_choice(*option, std::string_view(word).substr(equals + 1));
      else if (option != nullptr && option->get_items_expected_max() > 0 && ++i < words.size())
        near = near_choice(*option, words[i]);
    } else {
      const auto inside = command->get_subcommands([](const CLI::App*) { return true; });
      std::vector<std::string> names;
      for (const CLI::App* known : inside) names.push_back(known->get_name());
      const auto found = std::ranges::find(names, word);
      if (found != names.end())
        command = inside[static_cast<std::size_t>(found - names.begin())];
      else
        near = nearest(word, names);
    }
    if (!near.empty()) return near;
  }
  return "";
}

}  // namespace flexjit::tools
