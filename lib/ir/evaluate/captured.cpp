// The offset of an element is the 64-bit sum of index * stride; an index outside the extent gives the value 0 and, where the
// read is checked, a fault. A read that prove_reads called safe and that is not is our own defect.
#include "ir/evaluate/captured.h"

#include "ir/evaluate/arithmetic.h"
#include "support/check.h"
#include "support/dtype.h"

namespace flexjit::ir {
namespace {

struct Place {
  bool inside = true;
  std::int64_t offset = 0;
  int dimension = 0;  // the first that is outside
  std::int64_t index = 0;
};

Place locate(const Indexed& source, int dimensions, int lane) {
  Place place;
  for (int d = 0; d < dimensions; ++d) {
    const auto dim = static_cast<std::size_t>(d);
    const std::int64_t index = source.index[dim]->i[static_cast<std::size_t>(lane)];
    if (index < 0 || index >= source.view->shape[dim]) return {.inside = false, .dimension = d, .index = index};
    place.offset += index * source.view->strides[dim];
  }
  return place;
}

double load_float(const TensorView& view, std::int64_t offset) {
  return support::with_element(view.dtype, [&](auto element) {
    using E = decltype(element);
    return static_cast<double>(E::decode(static_cast<const typename E::Stored*>(view.data)[offset]));
  });
}

std::int64_t load_integer(const TensorView& view, std::int64_t offset) {
  return support::with_element(view.dtype, [&](auto element) -> std::int64_t {
    using E = decltype(element);
    if constexpr (E::kKind != support::ElementKind::kFloat) {
      return E::decode(static_cast<const typename E::Stored*>(view.data)[offset]);
    }
    FLEXJIT_CHECK(false, "a float where an integer was promised");
    return 0;
  });
}

double stored(Precision precision, double value) { return precision == Precision::kFp32 ? RoundToFp32()(value) : value; }

bool wanted(const Access& access, int lane) {
  const auto l = static_cast<std::size_t>(lane);
  return access.active[l] != 0 && access.guard->i[l] != 0;
}

// Whether the lane may be read; reports it where it may not.
bool admit(const Access& access, const Place& place, int lane, int first_dimension, FirstFault& fault) {
  if (place.inside) return true;
  FLEXJIT_CHECK(access.checked, "a read that was proved in range has index " + std::to_string(place.index));
  fault.note(lane, {.site = access.site, .dimension = first_dimension + place.dimension, .index = place.index});
  return false;
}

}  // namespace

void read_lanes(const Access& access, const Indexed& source, Lanes& out, FirstFault& fault) {
  const Type type = element_type(source.view->dtype);
  for (int lane = 0; lane < static_cast<int>(access.active.size()); ++lane) {
    const auto l = static_cast<std::size_t>(lane);
    Place place{.inside = false};
    if (wanted(access, lane)) {
      place = locate(source, source.view->rank, lane);
      admit(access, place, lane, 0, fault);
    }
    if (type == Type::kFloat) {
      out.f[l] = place.inside ? stored(access.precision, load_float(*source.view, place.offset)) : 0.0;
    } else if (type == Type::kLong) {
      out.l[l] = place.inside ? load_integer(*source.view, place.offset) : 0;
    } else {
      out.i[l] = place.inside ? static_cast<std::int32_t>(load_integer(*source.view, place.offset)) : 0;
    }
  }
}

void dot_lanes(const Access& access, const std::array<Indexed, 2>& sources, std::int64_t extent, Lanes& out,
               FirstFault& fault) {
  const TensorView& a = *sources[0].view;
  const TensorView& b = *sources[1].view;
  const int a_indices = a.rank - 1;
  const int b_indices = b.rank - 1;
  const auto a_inner = static_cast<std::size_t>(a_indices);
  const auto b_inner = static_cast<std::size_t>(b_indices);
  FLEXJIT_CHECK(a.shape[a_inner] >= extent && b.shape[b_inner] >= extent);
  for (int lane = 0; lane < static_cast<int>(access.active.size()); ++lane) {
    double sum = 0;
    if (wanted(access, lane)) {
      const Place at_a = locate(sources[0], a_indices, lane);
      const Place at_b = locate(sources[1], b_indices, lane);
      const bool a_inside = admit(access, at_a, lane, 0, fault);
      const bool b_inside = admit(access, at_b, lane, a_indices, fault);
      for (std::int64_t d = 0; a_inside && b_inside && d < extent; ++d) {
        sum += load_float(a, at_a.offset + d * a.strides[a_inner]) * load_float(b, at_b.offset + d * b.strides[b_inner]);
      }
    }
    out.f[static_cast<std::size_t>(lane)] = stored(access.precision, sum);
  }
}

}  // namespace flexjit::ir
