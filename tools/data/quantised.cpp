// See quantised.h.
#include "data/quantised.h"

#include "data/problem.h"
#include "flexjit/quantize.h"

namespace flexjit::tools {

bool is_quantised(DType dtype) { return dtype == DType::kI8 || dtype == DType::kE4M3 || dtype == DType::kE5M2; }

Result<Array> as_quantised(const Array& array, Layout layout, const DTypeOptions& dtypes, const std::string& name,
                           Array& scales) {
  const DType dtype = dtypes.kv_dtype();
  const bool bytes_of_i8 = array.dtype == DType::kI8 && dtype == DType::kI8;
  if (bytes_of_i8 || (array.dtype == DType::kU8 && dtype != DType::kI8)) {
    Array codes = array;
    codes.dtype = dtype;
    return codes;
  }
  Result<Array> floats = convert(array, DType::kF32, name);
  if (!floats) return floats.diagnostics();
  const TensorView source = view_of(*floats, layout);
  const bool given = !scales.shape.empty();
  if (!given) {
    const bool by_token = dtype == DType::kI8 || dtypes.scale_dims != 0;
    const std::int64_t groups = dtypes.scale_dims == 0 ? 1 : source.shape[3] / dtypes.scale_dims;
    scales = Array(DType::kF32, {source.shape[0], source.shape[1], by_token ? source.shape[2] : 1, groups});
  }
  Array codes(dtype, array.shape);
  const Status status = quantize_kv({.source = source,
                                     .target = mutable_view_of(codes, layout),
                                     .scales = mutable_view_of(scales, Layout::kBhsd),
                                     .scales_are = given ? Scales::kGiven : Scales::kComputed});
  if (!status) return status.diagnostics();
  return codes;
}

}  // namespace flexjit::tools
