// The C interface can do what the C++ interface can: c_twins.txt has a line for every public C++ function, found in the headers
// here, and names a function that the C headers declare.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace flexjit {
namespace {

const std::filesystem::path kHeaders = FLEXJIT_SOURCE_DIR "/include/flexjit";

std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  EXPECT_TRUE(in.is_open()) << file;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line.substr(0, line.find("//")));
  return lines;
}

bool is_c(const std::filesystem::path& file) { return file.filename().string().starts_with("c_"); }

// "attention.h Attention::run". Functions that are exported or members of exported classes; constructors and operators aside.
std::set<std::string> functions_of(const std::filesystem::path& file) {
  const std::regex opens(R"(^(class|struct) (FLEXJIT_API )?(\w+)[^;]*\{)"), declares(R"(\b(\w+)\()");
  std::set<std::string> found;
  std::string inside;
  bool exported = false, hidden = false;
  for (const std::string& line : lines_of(file)) {
    std::smatch match;
    if (std::regex_search(line, match, opens)) {
      inside = match[3];
      exported = match[2].matched;
      hidden = false;
    } else if (line.starts_with("};")) {
      inside.clear();
    } else if (line.starts_with(" private:")) {
      hidden = true;
    } else {
      const bool is_member = !inside.empty() && exported && !hidden && line.starts_with("  ") && !line.starts_with("   ");
      const bool is_function = line.find("FLEXJIT_API") != std::string::npos || line.starts_with("auto ") || is_member;
      if (!is_function || line.find("operator") != std::string::npos || !std::regex_search(line, match, declares)) continue;
      if (line.starts_with('#') || std::islower(match[1].str().front()) == 0) continue;  // a macro; a constructor
      found.insert(file.filename().string() + " " + (inside.empty() ? "" : inside + "::") + match[1].str());
    }
  }
  return found;
}

std::set<std::string> functions_of_c() {
  std::set<std::string> found;
  const std::regex declares(R"(\b(flexjit_\w+)\()");
  for (const auto& entry : std::filesystem::directory_iterator(kHeaders)) {
    if (!is_c(entry.path())) continue;
    for (const std::string& line : lines_of(entry.path())) {
      std::smatch match;
      if (line.starts_with("FLEXJIT_API") && std::regex_search(line, match, declares)) found.insert(match[1]);
    }
  }
  return found;
}

// C++ function -> C function, or "" where there is a reason.
std::map<std::string, std::string> twins() {
  std::map<std::string, std::string> found;
  for (const std::string& line : lines_of(FLEXJIT_SOURCE_DIR "/tests/api/c_twins.txt")) {
    if (line.empty() || line.starts_with('#')) continue;
    std::istringstream words(line);
    std::string header, function, sign, rest;
    words >> header >> function >> sign >> rest;
    EXPECT_TRUE((sign == "=" || sign == ":") && !rest.empty()) << line;
    EXPECT_TRUE(found.emplace(header + " " + function, sign == "=" ? rest : "").second) << line;
  }
  return found;
}

TEST(CTwins, EveryPublicFunctionHasOneOrAReason) {
  const std::map<std::string, std::string> listed = twins();
  std::set<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(kHeaders)) {
    if (entry.path().extension() == ".h" && !is_c(entry.path())) all.merge(functions_of(entry.path()));
  }
  EXPECT_GT(all.size(), 75U) << "the headers are not read as they should be";
  for (const std::string& function : all) EXPECT_TRUE(listed.contains(function)) << function << " is not in c_twins.txt";
  for (const auto& [function, twin] : listed) EXPECT_TRUE(all.contains(function)) << function << " is not in the headers";
  const std::set<std::string> of_c = functions_of_c();
  for (const auto& [function, twin] : listed)
    EXPECT_TRUE(twin.empty() || of_c.contains(twin)) << twin << " is not in the headers";
}

}  // namespace
}  // namespace flexjit
