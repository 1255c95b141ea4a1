// One loop a dtype, so that the choice is made once a row.
#include "support/elements.h"

#include <algorithm>
#include <string>

#include "support/check.h"
#include "support/dtype.h"

namespace flexjit::support {

void read_elements(DType dtype, const void* data, std::int64_t offset, std::span<double> values) {
  with_element(dtype, [&](auto element) {
    using E = decltype(element);
    const auto* row = static_cast<const typename E::Stored*>(data) + offset;
    std::transform(row, row + values.size(), values.begin(),
                   [](auto stored) { return static_cast<double>(E::decode(stored)); });
  });
}

void write_elements(DType dtype, void* data, std::int64_t offset, std::span<const double> values) {
  FLEXJIT_CHECK(is_float(dtype), std::string(name_of(dtype)));
  with_element(dtype, [&](auto element) {
    using E = decltype(element);
    std::ranges::transform(values, static_cast<typename E::Stored*>(data) + offset, E::encode);
  });
}

}  // namespace flexjit::support
