// Node of the compiled program -> the words of the text that it computes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "plan/kernel_parts.h"
#include "study/subject/json.h"
#include "study/subject/subject.h"

namespace flexjit::study {

class Origins {
 public:
  // `subject` must outlive it.
  explicit Origins(const Subject& subject);

  // "slope[h] * (kv_idx - q_idx)", in one line.
  std::string text_of(ir::Id node) const;
  // {"text", "source", "line", "column", "length"}; null where there is no expression.
  Json json_of(ir::Id node) const;

 private:
  const Subject& subject_;
  std::vector<std::optional<ir::Expression>> expressions_;  // by node
};

// "scores: slope[h] * (kv_idx - q_idx)", "Q K", "not known".
std::string describe(const Origins& origins, const std::optional<plan::Provenance>& from);
// {"part", "node", "expression"}.
Json origin_json(const Origins& origins, const std::optional<plan::Provenance>& from);

}  // namespace flexjit::study
