// Keys and values of a sequence, wherever they lie -> the packed memory that the prefill nest reads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/launch.h"
#include "runtime/rows/rows.h"
#include "runtime/sequences.h"

namespace flexjit::runtime {

struct PackTarget {
  void* k_panels;      // as in plan::PackArg
  void* v_rows;        // null: V is read in place
  std::byte* scratch;  // KeyPacker::scratch_bytes(), of one thread
};

// Of the sequences of one call, which are all of one kind: even, in pages, or in an order. What it is made from must outlive
// it.
class KeyPacker {
 public:
  KeyPacker(const Kernel& kernel, const plan::Operands& operands, const plan::LaunchArg& launch, const plan::Sequence& first)
      : kernel_(kernel),
        operands_(operands),
        launch_(launch),
        keys_(operands, kernel.layout),
        gathers_(first.order != nullptr || operands.page_size % kernel.layout.lanes != 0) {}

  // Keys that begin at a panel, to the end of the panel that holds the last one.
  void pack(const plan::Sequence& sequence, std::int32_t kv_head, KeyRange keys, const PackTarget& target) const;

  // Of the packed V of so many keys; 0 where it is read in place, as only even keys can be.
  std::int64_t v_bytes(const plan::Sequence& sequence, std::int32_t kv_len) const {
    return sequence.lies_evenly() ? kernel_.layout.v_bytes(kv_len) : kernel_.layout.packed_v_bytes(kv_len);
  }
  std::int64_t scratch_bytes() const;
  const Keys& keys() const { return keys_; }

 private:
  std::int64_t k_row_bytes() const { return std::int64_t{kernel_.layout.head_dim} * kernel_.layout.kv_bytes; }
  std::int64_t v_row_bytes() const { return std::int64_t{kernel_.layout.v_head_dim} * kernel_.layout.kv_bytes; }
  plan::KeyRun gather(const plan::Sequence& sequence, std::int32_t kv_head, KeyRange keys, std::byte* scratch) const;

  const Kernel& kernel_;
  const plan::Operands& operands_;
  const plan::LaunchArg& launch_;
  const Keys keys_;
  const bool gathers_;  // rows, before they are packed: pages that hold whole panels are packed from where they lie
};

}  // namespace flexjit::runtime
