// Python objects that hold elements -> views of their memory, without a copy: numpy and ml_dtypes arrays and whatever else
// has a buffer or DLPack, and torch's tensors, whose gradients and bf16 neither of these takes.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <string>
#include <vector>

#include "flexjit/bindings.h"
#include "flexjit/sequences.h"
#include "flexjit/tensor.h"

namespace nb = nanobind;

namespace flexjit::python {

enum class Access : std::uint8_t { kRead, kWrite };

// The views of one call. They live as long as this; the caller's references keep the memory alive.
class Arrays {
 public:
  // `what` names the argument in errors; None gives a view without data. Raises TypeError for what has no elements in this
  // process's memory or elements of a type that the engine does not have, BufferError for writing to what is read-only.
  MutableTensorView view(nb::handle object, const char* what, Access access);
  TensorView read(nb::handle object, const char* what) { return view(object, what, Access::kRead); }
  MutableTensorView write(nb::handle object, const char* what) { return view(object, what, Access::kWrite); }

 private:
  MutableTensorView dlpack_view(nb::handle object, const char* what, Access access);
  std::vector<nb::ndarray<nb::ro>> readers_;
  std::vector<nb::ndarray<>> writers_;
  std::vector<nb::object> owners_;
};

// A dictionary of names to tensors, ints, floats and bools.
Bindings bindings_of(nb::handle values, Arrays& arrays);
Scalar scalar_of(nb::handle value, const std::string& name);

// "f32", ...; raises ValueError for another name.
DType dtype_of(const std::string& name);
std::optional<DType> find_dtype(const nb::dlpack::dtype& type);
// A number is a dimension of one element for the engine, which has no rank 0.
void give_rank(MutableTensorView& view);
// The name of an object's element type; "" for what has none that the engine has.
std::string dtype_name(nb::handle object);

}  // namespace flexjit::python
