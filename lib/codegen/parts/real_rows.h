// What a kernel keeps of the rows of its work item: rows of reals, and which rows are not written for good yet.
#pragma once

#include <optional>
#include <string>

#include "codegen/emit/cells.h"

namespace flexjit::codegen {

inline int vector_bytes(Emitter& e) { return static_cast<int>(e.lanes() * e.real_bytes()); }

// [row][stride] reals (or cells), `section` bytes into the scratch `base`, or at `base` where there is no section.
struct RealRows {
  Emitter& e;
  Ptr base;
  std::optional<std::int64_t> section;
  std::int64_t stride;

  Ptr at(Index row, Index column) const { return e.at_real(first(), e.add(e.mul(row, e.index(stride)), column)); }
  Ptr at(Index row) const { return at(row, e.index(0)); }
  Ptr cells_at(Index row) const { return at_cell(e, first(), e.mul(row, e.index(stride))); }
  Float load_vector(Index row, Index column) const { return e.load_reals(at(row, column), vector_bytes(e)); }
  Float load(Index row) const { return e.load_real(at(row)); }

  // for (d = 0; d < stride; d += lanes) rows[row][d..] = 0;
  void clear(Index row) const {
    const Float zeros = e.broadcast(e.real(0.0));
    e.for_range("reset.o", e.index(0), e.index(stride), e.index(e.lanes()),
                [&](Index d) { e.store(zeros.value, at(row, d), vector_bytes(e)); });
  }

 private:
  Ptr first() const { return section ? e.at_byte(base, *section) : base; }
};

// int32s, `section` bytes into the scratch.
struct ScratchInts {
  Emitter& e;
  Ptr scratch;
  std::int64_t section;

  Ptr at(Index i) const { return e.at(e.at_byte(scratch, section), i); }
  Int load(Index i) const { return e.load_int(at(i)); }
};

// By row: 0 where the output is written for good.
struct UnsettledRows : ScratchInts {
  Bool is(Index row) const { return e.compare(llvm::CmpInst::ICMP_NE, load(row), e.constant_int(0)); }

  // for (r = begin; r < end; ++r) if (unsettled[r]) body(r);
  void for_each(const char* name, Index begin, Index end, llvm::function_ref<void(Index)> body) const {
    e.for_range(name, begin, end, e.index(1),
                [&](Index r) { e.if_then(name + std::string(".unsettled"), is(r), [&] { body(r); }); });
  }

  // unsettled[row] = value; if (value) then();
  void set(Index row, Bool value, llvm::function_ref<void()> then) const {
    e.store(e.to_int(value).value, at(row));
    e.if_then("not_finite", value, then);
  }

  // for (r = 0; r < rows; ++r) { body(r); left |= unsettled[r]; }
  // Returns that any row is left to the careful pass.
  Bool for_rows(const char* name, Index rows, llvm::function_ref<void(Index)> body) const {
    const Index none = e.index(0);
    const Values left = e.for_range(name, none, rows, e.index(1), {none.value}, [&](Index r, const Values& so_far) {
      body(r);
      return Values{e.bit_or(Index{so_far[0]}, e.widen(load(r))).value};
    });
    return e.logical_not(e.equal(Index{left[0]}, none));
  }
};

}  // namespace flexjit::codegen
