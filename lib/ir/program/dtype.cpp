// Element types of tensors -> their size, their name in the DSL, and the IR type that a read of them has. It lives in ir
// because ir is the lowest library that both the front end and the runtime already link.
#include "flexjit/tensor.h"
#include "ir/program/program.h"

namespace flexjit {

std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF64:
    case DType::kI64: return 8;
    case DType::kF32:
    case DType::kI32: return 4;
    case DType::kF16:
    case DType::kBF16: return 2;
    case DType::kI8:
    case DType::kU8:
    case DType::kBool: return 1;
  }
  return 0;
}

std::string_view name_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::kF32: return "f32";
    case DType::kF64: return "f64";
    case DType::kF16: return "f16";
    case DType::kBF16: return "bf16";
    case DType::kI64: return "i64";
    case DType::kI32: return "i32";
    case DType::kI8: return "i8";
    case DType::kU8: return "u8";
    case DType::kBool: return "bool";
  }
  return "";
}

namespace ir {

Type element_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF64:
    case DType::kF16:
    case DType::kBF16: return Type::kFloat;
    case DType::kI64: return Type::kLong;
    case DType::kI32:
    case DType::kI8:
    case DType::kU8: return Type::kInt;
    case DType::kBool: return Type::kBool;
  }
  return Type::kFloat;
}

}  // namespace ir
}  // namespace flexjit
