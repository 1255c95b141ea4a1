// Optimal string alignment distance, over words without their hyphens: --qlen is --q-len at once.
#include "suggest.h"

#include <algorithm>

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

std::string did_you_mean(const CLI::App& app, std::span<const std::string> words) {
  const CLI::App* command = &app;
  for (const std::string& word : words) {
    if (word.starts_with("-")) {
      const std::string name = word.substr(0, word.find('='));
      std::vector<std::string> options;
      for (const CLI::Option* option : command->get_options())
        for (const std::string& known : option->get_lnames()) options.push_back("--" + known);
      if (!name.starts_with("--") || std::ranges::find(options, name) != options.end()) continue;
      return nearest(name, options);
    }
    std::vector<std::string> commands;
    const CLI::App* next = nullptr;
    for (const CLI::App* known : command->get_subcommands([](const CLI::App*) { return true; })) {
      commands.push_back(known->get_name());
      if (known->get_name() == word) next = known;
    }
    if (next == nullptr && command == &app) return nearest(word, commands);
    if (next != nullptr) command = next;
  }
  return "";
}

}  // namespace flexjit::tools
