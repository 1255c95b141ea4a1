// FlexFlashInfer for Python: a mask that is prepared once, with its BSR matrix out and in.
#include "flexjit/flex_flash_infer.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "bind.h"
#include "gil.h"
#include "tensors.h"

using namespace nb::literals;

namespace flexjit::python {
namespace {

// A handle and what keeps the arrays that its texts read.
struct Prepared {
  explicit Prepared(Engine& engine) : handle(engine) {}
  FlexFlashInfer handle;
  nb::object held;
};

void prepare(Prepared& self, const std::string& mask, const std::string& score_mod, const nb::tuple& sizes,
             const nb::tuple& block_size, const std::string& dtype, std::optional<double> sm_scale, const nb::object& values) {
  Arrays arrays;
  const Bindings bindings = bindings_of(values, arrays);
  const auto at = [](const nb::tuple& of, int n) { return nb::cast<std::int32_t>(of[n]); };
  const FlexPrepareArgs args{.mask = mask,
                             .score_mod = score_mod,
                             .q_len = at(sizes, 0),
                             .kv_len = at(sizes, 1),
                             .num_qo_heads = at(sizes, 2),
                             .num_kv_heads = at(sizes, 3),
                             .head_dim = at(sizes, 4),
                             .block_size_row = at(block_size, 0),
                             .block_size_col = at(block_size, 1),
                             .dtype = dtype_of(dtype),
                             .sm_scale = sm_scale,
                             .bindings = &bindings};
  std::optional<Status> status;
  {
    const WithoutGil without;
    status.emplace(self.handle.prepare(args));
  }
  status->value();
  self.held = values;
}

void run(const Prepared& self, nb::handle q, nb::handle k, nb::handle v, nb::handle out, nb::handle lse) {
  Arrays arrays;
  const FlexRunArgs args{.q = arrays.read(q, "q"),
                         .k = arrays.read(k, "k"),
                         .v = arrays.read(v, "v"),
                         .out = arrays.write(out, "out"),
                         .lse = arrays.write(lse, "lse")};
  std::optional<Result<RunStats>> result;
  {
    const WithoutGil without;
    result.emplace(self.handle.run(args));
  }
  result->value();
}

template <typename Number>
nb::bytes bytes_of(const std::vector<Number>& numbers) {
  return nb::bytes(numbers.data(), numbers.size() * sizeof(Number));
}

nb::tuple bsr(const Prepared& self, std::int32_t head) {
  const BsrBlocks blocks = self.handle.bsr(head).value();
  return nb::make_tuple(bytes_of(blocks.indptr), bytes_of(blocks.indices), bytes_of(blocks.data));
}

}  // namespace

void bind_flex_flash_infer(nb::module_& module) {
  nb::class_<Prepared>(module, "FlexFlashInfer")
      .def(nb::init<Engine&>(), nb::keep_alive<1, 2>())
      .def("prepare", prepare, "mask"_a, "score_mod"_a, "sizes"_a, "block_size"_a, "dtype"_a, "sm_scale"_a.none(),
           "bindings"_a.none(), "sizes: (q_len, kv_len, num_qo_heads, num_kv_heads, head_dim); block_size: (rows, columns).")
      .def("run", run, "q"_a, "k"_a, "v"_a, "out"_a, "lse"_a.none(), "(length, heads, dim); lse of base 2, (length, heads).")
      .def("bsr", bsr, "head"_a = 0, "indptr and indices as int32, data as bytes, each in bytes.")
      .def("block_mask", [](const Prepared& self) { return self.handle.block_mask().value(); });
  module.def(
      "get_mask_fn",
      [](const std::string& name, std::optional<std::int32_t> window_size, std::optional<std::int32_t> chunk_size) {
        return get_mask_fn(name, {window_size, chunk_size}).value();
      },
      "mask_type"_a, "window_size"_a.none() = nb::none(), "chunk_size"_a.none() = nb::none());
}

}  // namespace flexjit::python
