#include "tensors.h"

#include <limits>

#include "exchange.h"

namespace flexjit::python {
namespace {

constexpr struct {
  const char* python;  // numpy's, torch's and ml_dtypes' name
  DType dtype;
  const char* stored = nullptr;  // as numpy sees it where neither its buffers nor its DLPack know the type
} kNames[] = {
    {"float32", DType::kF32},
    {"float64", DType::kF64},
    {"float16", DType::kF16},
    {"bfloat16", DType::kBF16, "uint16"},
    {"int64", DType::kI64},
    {"int32", DType::kI32},
    {"int8", DType::kI8},
    {"uint8", DType::kU8},
    {"bool", DType::kBool},
    {"float8_e4m3fn", DType::kE4M3, "uint8"},
    {"float8_e5m2", DType::kE5M2, "uint8"},
};

std::optional<DType> find_dtype(const nb::object& type) {
  std::string name = nb::cast<std::string>(nb::str(type));
  if (name.starts_with("torch.")) name.erase(0, 6);
  for (const auto& [python, dtype, stored] : kNames) {
    if (name == python) return dtype;
  }
  return std::nullopt;
}

[[noreturn]] void refuse(nb::handle object, const char* what, const std::string& why) {
  const std::string type =
      nb::cast<std::string>(nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(object.ptr()))).attr("__name__"));
  throw nb::type_error((std::string(what) + ": " + why + " (got a " + type + ")").c_str());
}

DType dtype_or_refuse(nb::handle object, const nb::object& type, const char* what) {
  if (const std::optional<DType> found = find_dtype(type)) return *found;
  refuse(object, what,
         "elements of " + nb::cast<std::string>(nb::str(type)) +
             "; there are float32, float64, float16, bfloat16, float8_e4m3fn, float8_e5m2, int64, int32, int8, uint8 and bool: "
             "convert it first");
}

void check_rank(nb::handle object, const char* what, std::size_t rank) {
  if (rank > kMaxRank) refuse(object, what, std::to_string(rank) + " dimensions; at most 4 are possible");
}

bool is_torch(nb::handle object) { return nb::hasattr(object, "data_ptr") && nb::hasattr(object, "is_cpu"); }

// What exchange_view does not take, attribute by attribute, and says why.
MutableTensorView torch_view(nb::handle object, const char* what) {
  if (!nb::cast<bool>(object.attr("is_cpu")))
    refuse(object, what, "not in the memory of the processor; move it there by .cpu()");
  if (nb::cast<bool>(object.attr("is_neg")())) refuse(object, what, "a negated view; .resolve_neg() makes it plain");
  MutableTensorView view;
  view.dtype = dtype_or_refuse(object, object.attr("dtype"), what);
  const nb::object shape = object.attr("shape"), strides = object.attr("stride")();
  const std::size_t rank = nb::len(shape);
  check_rank(object, what, rank);
  view.rank = static_cast<int>(rank);
  std::int64_t count = 1;
  for (std::size_t d = 0; d < rank; ++d) {
    view.shape[d] = nb::cast<std::int64_t>(shape[d]);
    view.strides[d] = nb::cast<std::int64_t>(strides[d]);
    count *= view.shape[d];
  }
  view.data = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(object.attr("data_ptr")()));
  if (view.data == nullptr && count != 0) refuse(object, what, "no memory, as meta and fake tensors have none");
  give_rank(view);
  return view;
}

template <typename Array>
MutableTensorView array_view(const Array& array, DType dtype) {
  std::vector<std::int64_t> extents;
  for (std::size_t d = 0; d < array.ndim(); ++d) extents.push_back(static_cast<std::int64_t>(array.shape(d)));
  MutableTensorView view(const_cast<void*>(static_cast<const void*>(array.data())), dtype, std::span(std::as_const(extents)));
  // Strides of an array without elements are nobody's: dense ones suit every call.
  for (std::size_t d = 0; d < array.ndim() && array.size() != 0; ++d) view.strides[d] = array.stride(d);
  give_rank(view);
  return view;
}

}  // namespace

std::optional<DType> find_dtype(const nb::dlpack::dtype& type) {
  const bool of = type.lanes == 1;
  switch (static_cast<nb::dlpack::dtype_code>(type.code)) {
    case nb::dlpack::dtype_code::Float:
      if (of && type.bits == 32) return DType::kF32;
      if (of && type.bits == 64) return DType::kF64;
      if (of && type.bits == 16) return DType::kF16;
      return std::nullopt;
    case nb::dlpack::dtype_code::Bfloat: return of && type.bits == 16 ? std::optional(DType::kBF16) : std::nullopt;
    case nb::dlpack::dtype_code::Int:
      if (of && type.bits == 64) return DType::kI64;
      if (of && type.bits == 32) return DType::kI32;
      if (of && type.bits == 8) return DType::kI8;
      return std::nullopt;
    case nb::dlpack::dtype_code::Float8_E4M3FN: return of ? std::optional(DType::kE4M3) : std::nullopt;
    case nb::dlpack::dtype_code::Float8_E5M2: return of ? std::optional(DType::kE5M2) : std::nullopt;
    case nb::dlpack::dtype_code::UInt: return of && type.bits == 8 ? std::optional(DType::kU8) : std::nullopt;
    case nb::dlpack::dtype_code::Bool: return of && type.bits == 8 ? std::optional(DType::kBool) : std::nullopt;
    default: return std::nullopt;
  }
}

void give_rank(MutableTensorView& view) {
  if (view.rank == 0) view.rank = 1, view.shape[0] = 1, view.strides[0] = 1;
}

DType dtype_of(const std::string& name) {
  for (const auto& [python, dtype, stored] : kNames) {
    if (name == name_of(dtype) || name == python) return dtype;
  }
  throw nb::value_error(
      ("no element type '" + name + "'; there are f32, f64, f16, bf16, e4m3, e5m2, i64, i32, i8, u8 and bool").c_str());
}

std::string dtype_name(nb::handle object) {
  if (!nb::hasattr(object, "dtype")) return "";
  const std::optional<DType> found = find_dtype(nb::object(object.attr("dtype")));
  return found ? std::string(name_of(*found)) : "";
}

MutableTensorView Arrays::dlpack_view(nb::handle object, const char* what, Access access) {
  std::optional<DType> dtype;
  nb::object array = nb::borrow(object);
  const std::string name = dtype_name(object);
  for (const auto& [python, type, stored] : kNames) {
    if (stored == nullptr || name != name_of(type) || !nb::hasattr(object, "__array_interface__")) continue;
    array = object.attr("view")(stored);
    dtype = type;
    owners_.push_back(array);
  }
  const auto take = [&](auto& list, auto value) {
    list.push_back(std::move(value));
    const auto& kept = list.back();
    if (kept.device_type() != nb::device::cpu::value) refuse(object, what, "not in the memory of the processor");
    if (!dtype) dtype = find_dtype(kept.dtype());
    if (!dtype)
      refuse(object, what,
             "elements of a type that is none of float32, float64, float16, bfloat16, int64, int32, int8, uint8, bool");
    check_rank(object, what, kept.ndim());
    return array_view(kept, *dtype);
  };
  if (access == Access::kWrite) {
    nb::ndarray<> written;
    if (nb::try_cast<nb::ndarray<>>(array, written, false)) return take(writers_, std::move(written));
    nb::ndarray<nb::ro> read;
    if (nb::try_cast<nb::ndarray<nb::ro>>(array, read, false)) refuse(object, what, "read-only, but results are written to it");
  }
  nb::ndarray<nb::ro> read;
  if (access == Access::kRead && nb::try_cast<nb::ndarray<nb::ro>>(array, read, false)) return take(readers_, std::move(read));
  if (nb::hasattr(object, "dtype")) dtype_or_refuse(object, object.attr("dtype"), what);
  refuse(object, what,
         "no array in native byte order; a numpy array, a torch tensor or anything else with DLPack or a buffer is one");
}

MutableTensorView Arrays::view(nb::handle object, const char* what, Access access) {
  if (object.is_none()) return {};
  MutableTensorView view;
  if (exchange_view(object, view)) return view;
  if (is_torch(object)) return torch_view(object, what);
  return dlpack_view(object, what, access);
}

Scalar scalar_of(nb::handle value, const std::string& name) {
  if (PyBool_Check(value.ptr())) return value.is(nb::handle(Py_True));
  if (PyFloat_Check(value.ptr())) return nb::cast<double>(value);
  if (PyLong_Check(value.ptr())) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    if (overflow != 0 || number > std::numeric_limits<std::int32_t>::max() ||
        number < std::numeric_limits<std::int32_t>::min()) {
      throw nb::value_error((name + ": an int param has 32 bits; larger numbers go into an int64 tensor").c_str());
    }
    return static_cast<std::int32_t>(number);
  }
  throw nb::type_error((name + ": a param is an int, a float or a bool; everything else is a tensor").c_str());
}

Bindings bindings_of(nb::handle values, Arrays& arrays) {
  Bindings bindings;
  if (values.is_none()) return bindings;
  for (const auto& [key, value] : nb::cast<nb::dict>(values)) {
    std::string name = nb::cast<std::string>(key);
    if (PyBool_Check(value.ptr()) || PyFloat_Check(value.ptr()) || PyLong_Check(value.ptr())) {
      bindings.params.emplace(name, scalar_of(value, name));
    } else {
      bindings.buffers.emplace(name, arrays.read(value, name.c_str()));
    }
  }
  return bindings;
}

}  // namespace flexjit::python
