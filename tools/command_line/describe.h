// The command's options as other programs want them: completion for shells, and a manual page. Made from the same tree that
// parses, so that they say what the command takes.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace flexjit::tools {

enum class Shell { kBash, kZsh, kFish };

std::string completion_of(const CLI::App& app, Shell shell);
// roff, for section 1.
std::string manual_of(const CLI::App& app);

// --completion SHELL and --man, which packagers call and help does not show. After everything else was added.
void add_descriptions(CLI::App& app);

}  // namespace flexjit::tools
