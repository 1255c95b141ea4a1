// One sequence over many processes for Python: who has which tokens, what each sends, receives and computes, and the handles
// of parts. Who moves the rows is the caller.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "bind.h"
#include "flexjit/mpi/steps.h"
#include "flexjit/shards.h"
#include "gil.h"
#include "spec.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace flexjit::python {
namespace {

mpi::Dealing dealing_of(const std::string& name) {
  constexpr std::array kAll = {mpi::Dealing::kAuto, mpi::Dealing::kContiguous, mpi::Dealing::kZigzag, mpi::Dealing::kDealt};
  std::string names;
  for (const mpi::Dealing dealing : kAll) {
    if (mpi::name_of(dealing) == name) return dealing;
    names += (names.empty() ? "" : ", ") + std::string(mpi::name_of(dealing));
  }
  throw nb::value_error(("no dealing '" + name + "'; there are " + names).c_str());
}

mpi::Layout deal(const BlockMask& mask, std::int32_t ranks, const std::string& dealing) {
  return mpi::deal({&mask, 1}, {.ranks = ranks, .dealing = dealing_of(dealing)}).value();
}

mpi::Steps ring_steps(const BlockMask& mask, const mpi::Layout& layout, std::int32_t rank, std::int32_t heads) {
  if (rank < 0 || rank >= layout.ranks()) throw nb::value_error("rank is outside of the layout's ranks");
  return mpi::ring_steps({.mask = mask, .layout = layout, .rank = rank, .heads = heads}).value();
}

nb::list sent_of(const mpi::Transfer& transfer) {
  nb::list runs;
  for (const mpi::RowRun& run : transfer.sent) runs.append(nb::make_tuple(run.begin, run.count));
  return runs;
}

// Our rows are one slice here, or none where a rank has no tokens.
nb::object mask_of(const mpi::Computation& computation) {
  if (computation.slices.empty() || !computation.slices.front().any) return nb::none();
  return nb::cast(computation.slices.front().mask);
}

Attention compile(Engine& engine, const nb::kwargs& keywords) {
  const AttentionSpec spec = spec_of(keywords);
  const WithoutGil without;
  return compile_shard(engine, spec).value();
}

}  // namespace

void bind_shards(nb::module_& module) {
  nb::class_<mpi::Layout>(module, "Layout", "Which blocks of a sequence each rank has.")
      .def_prop_ro(
          "dealing", [](const mpi::Layout& layout) { return std::string(mpi::name_of(layout.dealing)); },
          "'contiguous', 'zigzag' or 'dealt'.")
      .def_ro("blocks", &mpi::Layout::blocks, "By rank, ascending.");
  nb::class_<mpi::Transfer>(module, "Transfer", "One exchange of keys with two other ranks.")
      .def_ro("source", &mpi::Transfer::source)
      .def_ro("dest", &mpi::Transfer::dest)
      .def_prop_ro("sent", sent_of, "(begin, count) of rows that dest needs.")
      .def_ro("sent_tokens", &mpi::Transfer::sent_tokens)
      .def_ro("received_tokens", &mpi::Transfer::received_tokens);
  nb::class_<mpi::Computation>(module, "Computation", "A rank's rows over keys that are there at once.")
      .def_ro("positions", &mpi::Computation::positions, "Of the keys.")
      .def_prop_ro("mask", mask_of, "The BlockMask of the rank's rows and these keys; None where no pair is allowed.");
  nb::class_<mpi::Steps>(module, "Steps", "What a rank of a ring does.")
      .def_ro("positions", &mpi::Steps::positions, "Of the rank's rows.")
      .def_ro("transfers", &mpi::Steps::transfers)
      .def_ro("computations", &mpi::Steps::computations, "With the rank's own keys, then with those of each transfer.");
  module.def("deal", deal, "mask"_a, "ranks"_a, "dealing"_a = "auto",
             "The Layout of a sequence over ranks, as many tokens to each, their work equalised. Raises flexjit.Error.");
  module.def("ring_steps", ring_steps, "mask"_a, "layout"_a, "rank"_a, "heads"_a,
             "The Steps of a rank that computes all heads.");
  module.def("compile_shard", compile, "engine"_a, "keywords"_a,
             "Of the members of an AttentionSpec: an Attention of rows that stand anywhere in a sequence, which calls bind.");
}

}  // namespace flexjit::python
