// C++ texts through the public API: values by the interpreter, programs, findings.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flexjit/flexjit.h"

namespace flexjit::cxx_test {

AttentionSpec cxx_spec(const std::string& program, DType dtype = DType::kF32);

// score_mod of a program where every score is `score`: [q_idx * kv_len + kv_idx]. Throws with the findings where it does not
// compile.
struct Grid {
  std::int32_t q_len = 8, kv_len = 8, heads = 1;
};
std::vector<float> scores_of(const std::string& program, Grid grid = {}, const Bindings& bindings = {});

// The simplified program of a spec; the findings where it has none.
std::string simplified(const AttentionSpec& spec);

}  // namespace flexjit::cxx_test
