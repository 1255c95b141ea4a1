// One call of the serving matrix: options of a pattern and of a call, element types, where queries and keys lie, lengths -> the
// call, and what it means by the definition. Any options go together; the engine may refuse a call, never ignore an option.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness.h"
#include "rotary_oracle.h"
#include "support/ragged.h"

namespace flexjit::conformance {

enum class Option : std::uint8_t {
  kCausal,
  kWindow,
  kSoftcap,
  kAlibi,
  kScoreMod,
  kMaskMod,
  kScale,
  kSinks,
  kKeyLengths,
  kKeyMask,
  kAttentionMask,
  kDropout,
  kSigmoid,
  kRotary,
  kBlockMask,
  kKeyScales,
  kValueScales,
};
inline constexpr int kOptions = static_cast<int>(Option::kValueScales) + 1;
const char* name_of(Option option);

struct ServingCase {
  std::vector<Option> options;
  RaggedShape shape;   // its keys and queries do not matter where `dense` is set, and all lengths are the first one's
  bool dense = false;  // a batch of one length, without sequences

  bool has(Option option) const;
};
std::string to_string(const ServingCase& one);

// Moves not at all: its views point into it.
class Serving {
 public:
  explicit Serving(const ServingCase& one);
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  const AttentionSpec& spec() const { return spec_; }
  const RunArgs& args() const { return args_; }
  // What run() wrote.
  ::testing::AssertionResult is_attention() const;
  std::vector<double> outputs() const;
  bool is_untouched() const;
  Bounds bounds() const;

 private:
  using Score = std::function<Real(Real, const Position&)>;
  using Truth = std::function<bool(const Position&)>;

  Lengths lengths_of(const Position& p) const { return case_.shape.lengths[at(p.b)]; }
  std::int32_t filled(const Position& p) const;    // keys that key_lengths leaves
  std::int32_t distance(const Position& p) const;  // of a key before the diagonal
  std::int32_t longest_q() const;
  std::int32_t longest_kv() const;

  void add_scales();
  void add_flags();
  void add_tensors();
  void add_texts();
  void add_rotary();
  void add_block_mask();
  void add_arguments();
  void mean();

  ServingCase case_;
  AttentionSpec spec_;
  Captures captures_;
  OraclePattern pattern_;
  std::vector<Score> scores_;
  std::vector<Truth> masks_;
  std::vector<std::function<Real(const Position&)>> factors_;
  std::optional<Problem> batch_;     // of a dense case
  std::optional<Ragged> sequences_;  // of another
  std::optional<Tensor> q_;          // a dense case's queries before they rotate
  std::optional<RotaryTables> tables_;
  Rotary rotary_;
  std::vector<BlockMask> block_masks_;
  std::vector<float> sinks_, k_scales_, v_scales_;
  std::vector<std::int32_t> key_lengths_;
  std::vector<bool> key_mask_;
  RunArgs args_;
};

}  // namespace flexjit::conformance
