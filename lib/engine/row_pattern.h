// Scaled scores of a whole row -> modified ones, and gradients back, by the interpreter: what the references and a look at the
// scores share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "call/call.h"
#include "ir/evaluate/interpreter.h"
#include "reference/reference_attention.h"

namespace flexjit::engine {

// Stops at the first read outside its buffer and keeps it. Holds scratch, so one per thread; the program, the call and its
// sequences must outlive it. Rows of one sequence should come one after the other.
class RowPattern {
 public:
  RowPattern(const ir::Program& program, const Call& call) : program_(program), call_(call) {}

  // `scores` are those of all keys; -inf where the call's block mask masks, or, in its partial blocks, the pattern's mask.
  // False: there is a fault.
  bool apply(const reference::ReferenceRow& row, std::span<double> scores);

  // What the weights of all keys are multiplied with; where masked they stay. False: there is a fault.
  bool weight_factors(const reference::ReferenceRow& row, std::span<double> factors);

  // After the gradients of some keys: what the accumulations of the program add for those that are allowed.
  using Add =
      std::function<void(const ir::Interpreter& interpreter, const ir::RowRange& range, std::span<const std::uint8_t> allowed)>;
  // `gradients`, of the modified scores, become those of the scaled `scores`; where masked they stay. False: there is a fault.
  bool pull_back(const reference::ReferenceRow& row, std::span<const double> scores, std::span<double> gradients,
                 const Add& add);
  const std::optional<ir::ReadFault>& fault() const { return fault_; }

 private:
  // Some keys of a row, at most as many as the interpreter takes, and which of them are allowed.
  struct Segment {
    ir::RowRange range;
    std::span<const std::uint8_t> allowed;
    std::size_t begin() const { return static_cast<std::size_t>(range.kv_begin); }
    std::size_t count() const { return static_cast<std::size_t>(range.count); }
  };
  // One after the other, as long as visit() finds no fault. False: there is one.
  bool visit_segments(const reference::ReferenceRow& row,
                      const std::function<std::optional<ir::ReadFault>(const Segment&)>& visit);
  std::int32_t segment_end(std::int32_t begin) const;
  BlockKind kind_of(const ir::RowRange& range) const;
  void find_allowed(const ir::RowRange& range, std::span<std::uint8_t> allowed);

  // Of the sequence in progress.
  void start(const plan::Sequence& sequence);

  const ir::Program& program_;
  const Call& call_;
  const plan::Sequence* sequence_ = nullptr;
  ir::Environment environment_;
  std::optional<ir::Interpreter> interpreter_;
  const BlockMask* mask_ = nullptr;
  std::optional<ir::ReadFault> fault_;
};

}  // namespace flexjit::engine
