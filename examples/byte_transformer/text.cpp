// Documents on disk to pieces of text to learn from.
#include "text.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace fs = std::filesystem;

std::vector<std::uint8_t> read_documents(const std::string& folder) {
  std::vector<fs::path> paths;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename().string();
    if (entry->is_directory() && (name.starts_with('.') || name == "build")) entry.disable_recursion_pending();
    if (entry->is_regular_file() && entry->path().extension() == ".md") paths.push_back(entry->path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::uint8_t> text;
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    text.insert(text.end(), std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (text.size() < 10000) throw std::runtime_error("there are hardly any *.md files in " + folder);
  return text;
}

Batch draw_batch(const std::vector<std::uint8_t>& text, const Extents& extents, std::mt19937& random) {
  Batch batch;
  std::uniform_int_distribution<std::ptrdiff_t> place(0, static_cast<std::ptrdiff_t>(text.size()) - extents.length - 1);
  for (int i = 0; i < extents.batch; ++i) {
    const auto begin = text.begin() + place(random);
    batch.bytes.insert(batch.bytes.end(), begin, begin + extents.length);
    batch.next.insert(batch.next.end(), begin + 1, begin + extents.length + 1);
  }
  return batch;
}
