// C++ texts through the public API: values by the interpreter, programs, findings.
#pragma once

#include <cstdint>
#include <functional>
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

// The same words twice: for the host, and as a text.
#define MOD(...)                                             \
  [](float score, int q_idx, int kv_idx)->float __VA_ARGS__, \
      "float score_mod(float score, int q_idx, int "         \
      "kv_idx) " #__VA_ARGS__

// That every score of the text is the host's, of q_idx and kv_idx below 8 and a score of 0.
void expect_same(const std::function<float(float, int, int)>& host, const std::string& text);

// The simplified program of a spec; the findings where it has none.
std::string simplified(const AttentionSpec& spec);

}  // namespace flexjit::cxx_test
