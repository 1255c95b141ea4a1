// A word of the command line that nothing is called -> the one that was meant.
#pragma once

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flexjit::tools {

// The nearest of the candidates, by letters that are missing, added, wrong or exchanged; "" where none is near.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

// For the words of a command line that does not parse: the command, option or value that the first unknown one is near
// to; "".
std::string did_you_mean(const CLI::App& app, std::span<const std::string> words);

}  // namespace flexjit::tools
