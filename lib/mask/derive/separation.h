// A mask program -> one whose equalities of ints have what varies with q_idx on one side and what varies with kv_idx on the
// other, each side a table where it is computed from captured buffers: `pos[q_idx] - pos[kv_idx] == q_idx - kv_idx` becomes
// `start_q[q_idx] == start_kv[kv_idx]`, which has long pieces where its buffers count up, and whose range over any positions is
// known exactly. The same truth for every pair, because ints wrap. For the analysis alone: kernels keep the program as written.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/evaluate/environment.h"
#include "ir/program/program.h"

namespace flexjit::mask {

class Separation {
 public:
  // `most`: what the tables of a plane may take, in nodes analysed. Both arguments must outlive it.
  Separation(const ir::Program& program, const ir::Environment& environment, std::int64_t most);
  Separation(const Separation&) = delete;  // the environment refers into it
  Separation& operator=(const Separation&) = delete;

  // Whether there is anything to gain; else program() and environment() are those given.
  bool is_worthwhile() const { return !tables_.empty(); }
  const ir::Program& program() const { return is_worthwhile() ? tabled_ : program_; }
  const ir::Environment& environment() const { return is_worthwhile() ? tabled_environment_ : environment_; }

  // Fills the tables for a plane; whether they changed, or none where a read was outside its buffer, which is to be reported by
  // who evaluates the program as written.
  enum class Filled : std::uint8_t { kAsBefore, kAnew, kFaulty };
  Filled fill(std::int32_t b, std::int32_t h);

 private:
  struct Table {
    ir::Op axis = ir::Op::kQIdx;
    std::vector<std::uint32_t> nodes;  // of separated_, ascending; the last is what the table holds
    bool by_plane = false;
    std::vector<std::int32_t> values;
  };
  void add_table(ir::Id side);
  void read_tables();
  bool fill(Table& table, std::int32_t b, std::int32_t h);

  const ir::Program& program_;
  const ir::Environment& environment_;
  ir::Program separated_, tabled_;
  ir::Environment tabled_environment_;
  std::vector<TensorView> buffers_;
  std::vector<Table> tables_;
  bool is_filled_ = false;
};

}  // namespace flexjit::mask
