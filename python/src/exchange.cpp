#include "exchange.h"

#include <nanobind/ndarray.h>

#include <algorithm>

#include "tensors.h"

namespace flexjit::python {
namespace {

// dlpack.h: DLPackExchangeAPI, of which only `view` is used here. `view` does not own what it points to.
struct ExchangeApi {
  std::uint32_t major, minor;
  ExchangeApi* older;
  void *allocate, *from_object, *to_object;
  int (*view)(void* object, nb::dlpack::dltensor* out);
  void* stream;
};

// Of the type that was seen last. The interpreter's lock is held; a type that has the functions is PyTorch's, and stays.
struct TensorType {
  PyTypeObject* type = nullptr;
  const ExchangeApi* api = nullptr;
  nb::handle is_neg{};
};

const TensorType* tensor_type(PyTypeObject* type) {
  static TensorType known;
  if (type == known.type) return &known;
  const nb::handle object(reinterpret_cast<PyObject*>(type));
  const nb::object capsule = nb::getattr(object, "__dlpack_c_exchange_api__", nb::none());
  if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api") || !nb::hasattr(object, "is_neg")) return nullptr;
  const auto* api = static_cast<const ExchangeApi*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
  if (api->major != nb::dlpack::major_version || api->view == nullptr) return nullptr;
  known = {.type = type, .api = api, .is_neg = nb::object(object.attr("is_neg")).release()};
  return &known;
}

}  // namespace

bool exchange_view(nb::handle tensor, MutableTensorView& view) {
  const TensorType* type = tensor_type(Py_TYPE(tensor.ptr()));
  if (type == nullptr) return false;
  nb::dlpack::dltensor found;
  if (type->api->view(tensor.ptr(), &found) != 0) {
    PyErr_Clear();
    return false;
  }
  const std::optional<DType> dtype = find_dtype(found.dtype);
  if (!dtype || found.device.device_type != nb::device::cpu::value || found.ndim > kMaxRank) return false;
  view = {};
  view.dtype = *dtype;
  view.rank = found.ndim;
  view.data = static_cast<std::byte*>(found.data) + found.byte_offset;
  std::copy_n(found.shape, found.ndim, view.shape.begin());
  std::copy_n(found.strides, found.ndim, view.strides.begin());
  const bool elements = std::find(found.shape, found.shape + found.ndim, 0) == found.shape + found.ndim;
  if (found.data == nullptr && elements) return false;
  if (!type->is_neg(tensor).is(nb::handle(Py_False))) return false;  // whose memory has the opposite
  give_rank(view);
  return true;
}

}  // namespace flexjit::python
