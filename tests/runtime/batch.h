// Sequences of one length under one mask, as most calls have them.
#pragma once

#include <vector>

#include "runtime/schedule.h"

namespace flexjit::runtime {

struct Batch {
  Batch(const plan::Operands& operands, const BlockMask* mask)
      : sequences(plan::batch_of(operands.batch_size, operands.q_len, operands.kv_len)), work(work_of(sequences, mask)) {}
  Batch(std::int32_t batch, std::int32_t q_len, std::int32_t kv_len, const BlockMask* mask)
      : Batch(operands_of(batch, q_len, kv_len), mask) {}

  std::vector<plan::Sequence> sequences;
  std::vector<SequenceWork> work;

 private:
  static plan::Operands operands_of(std::int32_t batch, std::int32_t q_len, std::int32_t kv_len) {
    plan::Operands operands{};
    operands.batch_size = batch;
    operands.q_len = q_len;
    operands.kv_len = kv_len;
    return operands;
  }
};

}  // namespace flexjit::runtime
