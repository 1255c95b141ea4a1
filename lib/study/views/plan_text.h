// A plan as it is shown: labelled lines, and the same as JSON. What both nests have stands here; each nest has a file that adds
// its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "plan/kernel_key.h"
#include "plan/sizes/scratch.h"
#include "study/views/view.h"

namespace flexjit::study {

// A part of the scratch memory, `begin` bytes from its start, until the next part.
struct ScratchSection {
  std::string_view name, contents;
  std::int64_t begin;
};

struct PlanText {
  std::string text{};
  Json json{};

  void line(std::string_view label, const std::string& words);
  void add_kernel(const plan::KernelKey& key);
  // Parts that take no bytes are left out.
  void add_scratch(const plan::KernelKey& key, const std::vector<ScratchSection>& sections);
};

void add_prefill_plan(const plan::KernelKey& key, PlanText& text);
void add_backward_plan(const plan::KernelKey& key, PlanText& text);
void add_decode_plan(const plan::KernelKey& key, PlanText& text);

// What tiles of rows and keys have in common.
std::vector<ScratchSection> sections_of(const plan::TileSections& tile);
void add_micro_tile(const plan::KernelKey& key, PlanText& text);

}  // namespace flexjit::study
