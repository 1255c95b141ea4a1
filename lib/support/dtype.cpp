// dtypes.def -> the tables behind the questions about element types.
#include "support/dtype.h"

#include <array>
#include <string_view>

namespace flexjit {

namespace {

struct Row {
  std::size_t bytes;
  std::string_view name;
  support::DTypeFacts facts;
};

constexpr std::array kRows = {
#define FLEXJIT_DTYPE(name, c_name, text, stored, kind, npy, unit, largest) \
  Row{sizeof(stored), text, {support::ElementKind::k##kind, unit, largest}},
#include "flexjit/dtypes.def"
#undef FLEXJIT_DTYPE
};

// Of a number that is no dtype, which findings name as they refuse it.
constexpr Row kNone{1, "no dtype", {support::ElementKind::kBool, 0, 0}};

const Row& row_of(DType dtype) {
  const auto index = static_cast<std::size_t>(dtype);
  return index < kRows.size() ? kRows[index] : kNone;
}

}  // namespace

std::size_t size_of(DType dtype) noexcept { return row_of(dtype).bytes; }
std::string_view name_of(DType dtype) noexcept { return row_of(dtype).name; }

namespace support {

const DTypeFacts& facts_of(DType dtype) noexcept { return row_of(dtype).facts; }

}  // namespace support
}  // namespace flexjit
