// Gates of keys -> their products, by multiplication alone: gates of 0 are exact, nothing overflows, and no difference of
// logarithms loses digits.
#include "codegen/linear/chunk.h"

namespace flexjit::codegen {
namespace {

// gates[column..] = the gate of a key, 1 past the last one
void emit_gates_of_keys(Emitter& e, LinearChunk& c) {
  e.for_range("gates", e.index(0), c.columns, e.index(e.lanes()), [&](Index column) {
    const Bool there = c.lanes_there(column);
    const Float gate{c.evaluate(c.program.gate(), {{ir::Op::kKvIdx, c.positions(column).value}}, there)};
    const Float gates = e.broadcast(e.to_real(gate));
    e.store(e.select(there, gates, e.broadcast(e.real(1.0))).value, c.gates.at(column), vector_bytes(e));
  });
}

// since[i][j] = j < i ? since[i - 1][j] * gate[i] : j == i; since_begin[i] = since_begin[i - 1] * gate[i]
void emit_products_of_gates(Emitter& e, LinearChunk& c) {
  const int panels = c.chunk / e.lanes();
  Values init(static_cast<std::size_t>(panels), e.broadcast(e.real(0.0)).value);
  init.push_back(e.real(1.0).value);
  const Float one = e.broadcast(e.real(1.0));
  e.for_range("since", e.index(0), c.item.kv_count, e.index(1), init, [&](Index i, const Values& before) {
    const Float gate = c.gates.load(i);
    Values next;
    for (int p = 0; p < panels; ++p) {
      const Float faded = e.mul(Float{before[static_cast<std::size_t>(p)]}, gate);
      const Int own = e.narrow(e.sub(i, e.index(std::int64_t{p} * e.lanes())));
      const Bool is_own = e.compare(llvm::CmpInst::ICMP_EQ, e.lane_numbers(), own);
      const Float since = e.select(is_own, one, faded);
      e.store(since.value, c.since.at(i, e.index(std::int64_t{p} * e.lanes())), vector_bytes(e));
      next.push_back(since.value);
    }
    const Float since_begin = e.mul(Float{before.back()}, gate);
    e.store(since_begin.value, c.since_begin.at(i), static_cast<int>(e.real_bytes()));
    next.push_back(since_begin.value);
    return next;
  });
}

// faded_v[j] = since[last][j] * v[j]
void emit_faded_values(Emitter& e, LinearChunk& c) {
  const Index last = e.sub(c.item.kv_count, e.index(1));
  e.for_range("fade", e.index(0), c.item.kv_count, e.index(1), [&](Index j) {
    const Float factor = e.broadcast(e.load_real(c.since.at(last, j)));
    e.for_range("fade.dims", e.index(0), e.index(c.v.stride), e.index(e.lanes()),
                [&](Index d) { e.store(e.mul(c.v.load_vector(j, d), factor).value, c.faded_v.at(j, d), vector_bytes(e)); });
  });
}

}  // namespace

void emit_gates(Emitter& e, LinearChunk& c) {
  const SourceScope part = e.part(plan::Part::kColumnTables);
  emit_gates_of_keys(e, c);
  emit_products_of_gates(e, c);
  emit_faded_values(e, c);
}

}  // namespace flexjit::codegen
