// NaN and infinities in keys and values where the mask forbids them, as unused slots of a cache hold them, and where it does
// not; sums of values that overflow before they are divided. Against attention written down naively, in which a key whose
// weight is 0 takes no part, in both nests, on every target that can be run here.
#include <cmath>
#include <limits>

#include "on_backends.h"
#include "support/encodings.h"
#include "support/sample.h"

namespace flexjit::conformance {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};

double largest_of(DType dtype) {
  switch (dtype) {
    case DType::kF64: return std::numeric_limits<double>::max();
    case DType::kF16: return 65504;
    case DType::kBF16: return 0x1.fep127;
    default: return static_cast<double>(std::numeric_limits<float>::max());
  }
}

double tolerance_of(DType dtype) { return dtype == DType::kBF16 ? 3e-2 : dtype == DType::kF16 ? 3e-3 : 3e-5; }

struct Rows {
  std::int32_t q_len, kv_len;
};
// Few rows and many keys go to the decode nest; splits and tiles end inside.
constexpr Rows kRows[] = {{1, 300}, {3, 1100}, {64, 170}};

Shape shape_of(const Rows& rows) {
  return {.batch = 1, .q_heads = 2, .kv_heads = 1, .q_len = rows.q_len, .kv_len = rows.kv_len, .head_dim = 16, .v_head_dim = 9};
}

struct MaskCase {
  const char* text;
  bool (*allows)(const Position&);
};

const MaskCase kMasks[] = {
    {"kv_idx <= 100", [](const Position& p) { return p.kv_idx <= 100; }},  // an even number of keys would hide pairs
    {"kv_idx <= 63", [](const Position& p) { return p.kv_idx <= 63; }},
    {"kv_idx >= 41", [](const Position& p) { return p.kv_idx >= 41; }},
    {"kv_idx % 7 != 3", [](const Position& p) { return p.kv_idx % 7 != 3; }},
    {"kv_idx <= q_idx + 11", [](const Position& p) { return p.kv_idx <= p.q_idx + 11; }},
    {"kv_idx // 40 % 2 == 0 && kv_idx < 1000", [](const Position& p) { return p.kv_idx / 40 % 2 == 0 && p.kv_idx < 1000; }},
    {"(kv_idx + q_idx) % 3 == 0", [](const Position& p) { return (p.kv_idx + p.q_idx) % 3 == 0; }},
    {"kv_idx < 70 && q_idx % 4 != 1", [](const Position& p) { return p.kv_idx < 70 && p.q_idx % 4 != 1; }},
};

class SpecialValuesOn : public testing::TestWithParam<std::string> {
 protected:
  static AttentionSpec spec_for(const Shape& shape, DType dtype, const char* mask) {
    AttentionSpec spec = spec_of("", shape);
    spec.dtype = dtype;
    spec.mask_mod = mask;
    return spec;
  }

  struct Call {
    const Bindings* bindings = nullptr;
    std::vector<float> sinks{};
  };

  void expect(const AttentionSpec& spec, Problem& tensors, const OraclePattern& naive, const Call& call) {
    tensors.poison_outputs();
    RunArgs args = tensors.args(call.bindings);
    if (spec.weights == Weights::kSigmoid) args.lse = {};
    if (!call.sinks.empty()) args.sinks = TensorView(call.sinks.data(), DType::kF32, {tensors.shape.q_heads});
    compile_or_throw(engine_for(GetParam()), spec).run(args).value();
    OracleResult expected = oracle(tensors, naive);
    for (double& value : expected.out) value = nearest(tensors.types.out, value);
    const Bound bound = near(tolerance_of(tensors.types.q));
    EXPECT_TRUE(agrees(tensors, expected, {bound, bound}));
  }
};

// A key that some row allows.
bool is_seen(const MaskCase& mask, const Rows& rows, std::int32_t kv) {
  for (std::int32_t q = 0; q < rows.q_len; ++q) {
    if (mask.allows({0, 0, q, kv})) return true;
  }
  return false;
}

void fill_key(Tensor& tensor, std::int32_t kv, std::int32_t dim, double value) {
  for (std::int32_t d = 0; d < dim; ++d) tensor.set(static_cast<std::size_t>(kv * dim + d), value);
}

TEST_P(SpecialValuesOn, WhatNoRowAllowsTakesNoPart) {
  Sample sample;
  for (const DType dtype : kTypes) {
    for (const Rows& rows : kRows) {
      for (const MaskCase& mask : kMasks) {
        if (!sample.next()) continue;
        const Shape shape = shape_of(rows);
        SCOPED_TRACE(std::string(name_of(dtype)) + ", " + to_string(shape) + ", " + mask.text);
        Problem tensors(shape, {dtype, dtype, dtype});
        for (std::int32_t kv = 0; kv < rows.kv_len; ++kv) {
          if (is_seen(mask, rows, kv)) continue;
          const double value = kv % 3 == 0 ? kNan : kv % 3 == 1 ? kInf : -kInf;
          fill_key(tensors.v, kv, shape.value_dim(), value);
          fill_key(tensors.k, kv, shape.head_dim, value);
        }
        expect(spec_for(shape, dtype, mask.text), tensors, {.mask = mask.allows}, {});
      }
    }
  }
}

// One key at a time is NaN in a single dim: the rows that allow it show it there, and no others.
TEST_P(SpecialValuesOn, WhatSomeRowsAllowShowsInThem) {
  Sample sample;
  for (const DType dtype : kTypes) {
    for (const Rows& rows : kRows) {
      for (const MaskCase& mask : kMasks) {
        if (!sample.next()) continue;
        const Shape shape = shape_of(rows);
        SCOPED_TRACE(std::string(name_of(dtype)) + ", " + to_string(shape) + ", " + mask.text);
        for (const std::int32_t kv : {0, 40, 63, 77}) {
          Problem tensors(shape, {dtype, dtype, dtype});
          tensors.v.set(static_cast<std::size_t>(kv * 9 + kv % 9), kv % 2 == 0 ? kNan : kInf);
          if (kv == 63) tensors.k.set(5 * 16 + 3, kNan);
          expect(spec_for(shape, dtype, mask.text), tensors, {.mask = mask.allows}, {});
        }
      }
    }
  }
}

TEST_P(SpecialValuesOn, TheUnusedEndOfACache) {
  for (const DType dtype : kTypes) {
    for (const std::int32_t q_len : {1, 4, 40}) {
      SCOPED_TRACE(std::string(name_of(dtype)) + ", q_len " + std::to_string(q_len));
      Shape shape = shape_of({q_len, 600});
      shape.batch = 3;
      AttentionSpec spec = spec_for(shape, dtype, "");
      spec.key_lengths = true;
      const std::vector<std::int32_t> lengths{70, 0, 531};
      Captures captures;
      captures.add("key_lengths", {3}, lengths);
      Problem tensors(shape, {dtype, dtype, dtype});
      for (std::int32_t b = 0; b < 3; ++b) {
        for (std::int32_t kv = lengths[static_cast<std::size_t>(b)]; kv < 600; ++kv) {
          fill_key(tensors.v, b * 600 + kv, shape.value_dim(), kNan);
          fill_key(tensors.k, b * 600 + kv, shape.head_dim, kNan);
        }
      }
      const OraclePattern naive{.mask = [&](const Position& p) { return p.kv_idx < lengths[static_cast<std::size_t>(p.b)]; }};
      expect(spec, tensors, naive, {.bindings = &captures.bindings()});
    }
  }
}

// A score of -inf is a mask; a weight that is 0 even in fp64 takes no part, one that is 0 in fp32 alone does.
TEST_P(SpecialValuesOn, ScoresTakePartByTheirDistanceFromTheLargest) {
  for (const DType dtype : kTypes) {
    for (const Rows& rows : kRows) {
      for (const double distance : {80.0, 200.0, 700.0, 800.0, 1e10, 3e38, kInf}) {
        for (const std::int32_t kv : {5, 66}) {  // in the first key tile or split, and behind others
          for (const float sink : {-INFINITY, 0.0F, 900.0F}) {
            const Shape shape = shape_of(rows);
            SCOPED_TRACE(std::string(name_of(dtype)) + ", " + to_string(shape) + ", distance " + std::to_string(distance) +
                         ", sink " + std::to_string(sink));
            AttentionSpec spec = spec_for(shape, dtype, "");
            spec.program = "param low : float\nparam key : int\nscore = kv_idx <= key ? -low : score * 0.0";
            Captures captures;
            captures.set("low", static_cast<float>(distance)).set("key", kv);
            Problem tensors(shape, {dtype, dtype, dtype});
            fill_key(tensors.v, kv, shape.value_dim(), kv == 5 ? kNan : kInf);
            const OraclePattern naive{.score =
                                          [&](double, const Position& p) {
                                            return p.kv_idx <= kv ? -static_cast<double>(static_cast<float>(distance)) : 0.0;
                                          },
                                      .sinks = {static_cast<double>(sink), static_cast<double>(sink)}};
            expect(spec, tensors, naive, {.bindings = &captures.bindings(), .sinks = {sink, sink}});
          }
        }
      }
    }
  }
}

TEST_P(SpecialValuesOn, SigmoidWeightsOfMaskedKeys) {
  for (const DType dtype : kTypes) {
    for (const Rows& rows : kRows) {
      for (const MaskCase& mask : {kMasks[0], kMasks[3], kMasks[4]}) {
        const Shape shape = shape_of(rows);
        SCOPED_TRACE(std::string(name_of(dtype)) + ", " + to_string(shape) + ", " + mask.text);
        AttentionSpec spec = spec_for(shape, dtype, mask.text);
        spec.score_mod = "kv_idx % 11 == 2 ? -800.0 : score - 4.0";
        spec.weights = Weights::kSigmoid;
        Problem tensors(shape, {dtype, dtype, dtype});
        for (std::int32_t kv = 0; kv < rows.kv_len; ++kv) {
          if (kv % 11 == 2 || !is_seen(mask, rows, kv)) fill_key(tensors.v, kv, shape.value_dim(), kNan);
        }
        const OraclePattern naive{
            .score = [](double score, const Position& p) { return p.kv_idx % 11 == 2 ? -800.0 : score - 4; },
            .mask = mask.allows,
            .weights = Weights::kSigmoid};
        expect(spec, tensors, naive, {});
      }
    }
  }
}

// The mean of values of any size is no larger than they are.
TEST_P(SpecialValuesOn, SumsOfTheLargestValues) {
  for (const DType dtype : kTypes) {
    for (const Rows& rows : kRows) {
      for (const std::int32_t period : {1, 2, 3}) {
        const Shape shape = shape_of(rows);
        SCOPED_TRACE(std::string(name_of(dtype)) + ", " + to_string(shape) + ", period " + std::to_string(period));
        Problem tensors(shape, {dtype, dtype, dtype});
        for (std::int32_t kv = 0; kv < rows.kv_len; ++kv) {
          // An odd dim has both signs, so that infinities of a sum that overflows would meet.
          for (std::int32_t d = 0; d < shape.value_dim(); ++d) {
            if (kv % period == 0)
              tensors.v.set(static_cast<std::size_t>(kv * shape.value_dim() + d),
                            largest_of(dtype) * (d % 2 == 1 && kv % (2 * period) != 0 ? -0.25 : 1));
          }
        }
        expect(spec_for(shape, dtype, "kv_idx != 7"), tensors, {.mask = [](const Position& p) { return p.kv_idx != 7; }}, {});
      }
    }
  }
}

// Every key and value of a row may be NaN as long as it is the query that is.
TEST_P(SpecialValuesOn, AQueryOfNanIsNanInItsRowOnly) {
  for (const DType dtype : kTypes) {
    for (const Rows& rows : kRows) {
      for (const float sink : {-INFINITY, 0.5F, INFINITY, std::nanf("")}) {
        const Shape shape = shape_of(rows);
        SCOPED_TRACE(std::string(name_of(dtype)) + ", " + to_string(shape) + ", sink " + std::to_string(sink));
        Problem tensors(shape, {dtype, dtype, dtype});
        tensors.q.set(static_cast<std::size_t>((rows.q_len - 1) * 16 + 5), kNan);
        const OraclePattern naive{.mask = [](const Position& p) { return p.kv_idx < 70; },
                                  .sinks = {static_cast<double>(sink), 0.25}};
        expect(spec_for(shape, dtype, "kv_idx < 70"), tensors, naive, {.sinks = {sink, 0.25F}});
      }
    }
  }
}

// A row without keys has its sink as lse, whatever that is, and the output 0.
TEST_P(SpecialValuesOn, ASinkAlone) {
  for (const DType dtype : kTypes) {
    for (const Rows& rows : kRows) {
      for (const float sink : {INFINITY, -INFINITY, 0.5F, std::numeric_limits<float>::max(), std::nanf("")}) {
        const Shape shape = shape_of(rows);
        SCOPED_TRACE(std::string(name_of(dtype)) + ", " + to_string(shape) + ", sink " + std::to_string(sink));
        Problem tensors(shape, {dtype, dtype, dtype});
        const std::vector<float> sinks(static_cast<std::size_t>(shape.q_heads), sink);
        const Attention attention = compile_or_throw(engine_for(GetParam()), spec_for(shape, dtype, "kv_idx < 0"));
        RunArgs args = tensors.args();
        args.sinks = TensorView(sinks.data(), DType::kF32, {shape.q_heads});
        attention.run(args).value();
        for (const float lse : tensors.lse) EXPECT_TRUE(lse == sink || (std::isnan(lse) && std::isnan(sink))) << lse;
        for (const double out : tensors.out.values()) EXPECT_TRUE(out == 0);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, SpecialValuesOn, testing::ValuesIn(arithmetics_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
