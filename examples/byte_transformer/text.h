// Documents on disk to pieces of text to learn from.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "attention.h"

// All *.md below a folder, one after the other in the order of their names; none of hidden folders and of build/.
// Throws std::runtime_error where there are none.
std::vector<std::uint8_t> read_documents(const std::string& folder);

// Texts of one length, and the byte that follows each of their bytes.
struct Batch {
  std::vector<std::uint8_t> bytes, next;
};

// From places that are drawn at random.
Batch draw_batch(const std::vector<std::uint8_t>& text, const Extents& extents, std::mt19937& random);
