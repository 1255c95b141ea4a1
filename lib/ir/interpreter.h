// Program -> values, one row of keys at a time: the oracle of every kernel test and the engine of the reference backend.
// Shares no code with codegen. What depends on `score` is computed in fp64; every other float is rounded to fp32 after each
// operation, because comparisons, floor and int() of index arithmetic must decide as the kernel does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ir/environment.h"
#include "ir/program.h"

namespace flexjit::ir {

// The keys [kv_begin, kv_begin + count) of one query row.
struct RowRange {
  std::int32_t b = 0;
  std::int32_t h = 0;
  std::int32_t q_idx = 0;
  std::int32_t kv_begin = 0;
  std::int32_t count = 0;  // at most Interpreter::kMaxCount
};

// A read outside its buffer in a lane that counts.
struct ReadFault {
  std::uint32_t site = 0;
  std::int32_t dimension = 0;
  std::int64_t index = 0;
};

// Holds scratch, so one per thread; the Program and Environment must outlive it.
class Interpreter {
 public:
  static constexpr std::int32_t kMaxCount = 256;

  Interpreter(const Program& program, const Environment& environment);

  // allowed[i] = 1 where the mask holds at kv_begin + i. Without a mask all are 1.
  std::optional<ReadFault> eval_mask(const RowRange& row, std::span<std::uint8_t> allowed);

  // scores[i] = score_mod(scores[i]) where allowed[i]; other lanes are left alone and read nothing.
  std::optional<ReadFault> eval_score(const RowRange& row, std::span<const std::uint8_t> allowed, std::span<double> scores);

 private:
  struct Lanes {  // one node's values; floats in f, ints and bools in i
    std::vector<double> f;
    std::vector<std::int32_t> i;
  };
  std::optional<ReadFault> eval(Id root, const RowRange& row, std::span<const std::uint8_t> active,
                                std::span<const double> scores);

  const Program& program_;
  const Environment& environment_;
  std::vector<Lanes> values_;
  std::vector<bool> from_score_;          // depends on score: fp64
  std::vector<bool> in_score_, in_mask_;  // reachable from each root
};

}  // namespace flexjit::ir
