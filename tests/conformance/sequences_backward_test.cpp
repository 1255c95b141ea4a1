// Gradients of sequences with lengths of their own: each the bits of the sequence alone, and what the oracle says of it; those
// of what sequences share are sums over them, and rows that belong to none have 0. FLEXJIT_SEQUENCE_CASES and
// FLEXJIT_SEQUENCE_SEED as in sequences_test.cpp.
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "on_backward.h"
#include "support/checklist.h"
#include "support/ragged.h"

namespace flexjit::conformance {
namespace {

constexpr KeysIn kKeys[] = {KeysIn::kPacked, KeysIn::kOwnCache};  // those that belong to one sequence each
constexpr double kUnwritten = std::numeric_limits<double>::quiet_NaN();

std::int64_t setting(const char* name, std::int64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoll(text, nullptr, 10);
}

Extents extents_of(const Tensor& tensor) {
  Extents extents{};
  std::ranges::copy(tensor.view().shape, extents.begin());
  return extents;
}

std::size_t element(const Extents& e, std::int64_t b, std::int64_t h, std::int64_t row, std::int64_t d) {
  return at(((b * e[1] + h) * e[2] + row) * e[3] + d);
}

// Sequences in one call, and each of them as a problem of its own with the same numbers.
struct RaggedBackward {
  explicit RaggedBackward(const RaggedShape& shape)
      : ragged(shape),
        d_out(shape.types.out, extents_of(ragged.out), length_first),
        dq(shape.types.q, extents_of(ragged.q), length_first),
        dk(shape.types.kv, extents_of(ragged.k), length_first),
        dv(shape.types.kv, extents_of(ragged.v), length_first),
        d_lse(ragged.lse.size(), std::numeric_limits<float>::quiet_NaN()) {
    d_out.fill([](std::size_t) { return kUnwritten; });
    for (std::size_t i = 0; i < shape.lengths.size(); ++i) {
      const Problem& one = ragged.problems()[i];
      alone.emplace_back(one.shape, one.types, one.seed);
      give(i);
    }
    poison();
  }

  void scale_inputs(double of_q, double of_kv) {
    const auto scale = [](Tensor& tensor, double by) {
      for (std::size_t i = 0; i < tensor.size(); ++i) tensor.set(i, tensor[i] * by);
    };
    scale(ragged.q, of_q), scale(ragged.k, of_kv), scale(ragged.v, of_kv);
    for (BackwardProblem& one : alone) scale(one.forward.q, of_q), scale(one.forward.k, of_kv), scale(one.forward.v, of_kv);
  }

  void add_sinks(const std::vector<float>& values) {
    sinks = values;
    d_sinks.assign(values.size(), std::numeric_limits<float>::quiet_NaN());
    for (BackwardProblem& one : alone) one.add_sinks(values);
  }

  void poison() {
    for (Tensor* tensor : {&dq, &dk, &dv}) tensor->fill([](std::size_t) { return kUnwritten; });
  }

  RunArgs args(const Bindings* bindings = nullptr) {
    RunArgs args = ragged.args(bindings);
    if (!sinks.empty()) args.sinks = TensorView(sinks.data(), DType::kF32, {static_cast<std::int64_t>(sinks.size())});
    return args;
  }
  Gradients gradients() {
    const TensorView rows = std::as_const(d_out).view();
    Gradients all{.out = rows,
                  .lse = TensorView(d_lse.data(), DType::kF32, {rows.shape[0], rows.shape[1], rows.shape[2]}),
                  .q = dq.view(),
                  .k = dk.view(),
                  .v = dv.view()};
    if (!sinks.empty()) all.sinks = MutableTensorView(d_sinks.data(), DType::kF32, {static_cast<std::int64_t>(sinks.size())});
    return all;
  }
  void run(const Attention& attention, const Bindings* bindings = nullptr) {
    attention.run(args(bindings)).value();
    run_backward(attention, args(bindings), gradients()).value();
  }

  // In the order of the sequence's own tensors.
  GradientValues values_of(std::size_t i) const {
    const Lengths& lengths = ragged.shape().lengths[i];
    const auto query = [&](std::int64_t row) { return ragged.query(i, row); };
    const auto key = [&](std::int64_t row) { return ragged.key(i, row); };
    return {rows_of(dq, lengths.q, query), rows_of(dk, lengths.kv, key), rows_of(dv, lengths.kv, key), {}, {}};
  }

  // What lies outside the sequences is 0, and nothing is NaN.
  ::testing::AssertionResult clears_the_rest() const {
    std::size_t owned_q = 0, owned_kv = 0;
    double sum_of_owned = 0, sum = 0;
    for (std::size_t i = 0; i < alone.size(); ++i) {
      const GradientValues values = values_of(i);
      owned_q += values.q.size(), owned_kv += values.k.size() + values.v.size();
      for (const auto* part : {&values.q, &values.k, &values.v})
        for (const double x : *part) sum_of_owned += std::abs(x);
    }
    for (const Tensor* tensor : {&dq, &dk, &dv})
      for (const double x : tensor->values()) sum += std::abs(x);
    if (!std::isfinite(sum)) return ::testing::AssertionFailure() << "a gradient is no number";
    if (dq.size() <= owned_q || dk.size() + dv.size() <= owned_kv)
      return ::testing::AssertionFailure() << "there is no row outside the sequences";
    if (std::abs(sum - sum_of_owned) > 1e-9 * sum) return ::testing::AssertionFailure() << "a row outside is not 0";
    return ::testing::AssertionSuccess();
  }

  Ragged ragged;
  std::vector<BackwardProblem> alone;
  Tensor d_out, dq, dk, dv;
  std::vector<float> d_lse, sinks, d_sinks;

 private:
  template <typename PlaceOf>
  static std::vector<double> rows_of(const Tensor& tensor, std::int64_t rows, const PlaceOf& place_of) {
    const Extents e = extents_of(tensor);
    std::vector<double> values;
    for (std::int64_t h = 0; h < e[1]; ++h) {
      for (std::int64_t row = 0; row < rows; ++row) {
        const Ragged::Place place = place_of(row);
        for (std::int64_t d = 0; d < e[3]; ++d) values.push_back(tensor[element(e, place.batch, h, place.row, d)]);
      }
    }
    return values;
  }

  // d_out and d_lse of sequence i, into the call's.
  void give(std::size_t i) {
    const BackwardProblem& one = alone[i];
    const Extents from = extents_of(one.d_out), to = extents_of(d_out);
    for (std::int64_t h = 0; h < to[1]; ++h) {
      for (std::int64_t row = 0; row < from[2]; ++row) {
        const Ragged::Place place = ragged.query(i, row);
        d_lse[at((place.batch * to[1] + h) * to[2] + place.row)] = one.d_lse[at(h * from[2] + row)];
        for (std::int64_t d = 0; d < to[3]; ++d)
          d_out.set(element(to, place.batch, h, place.row, d), one.d_out[element(from, 0, h, row, d)]);
      }
    }
  }
};

AttentionSpec spec_of(std::string program, const RaggedShape& shape) {
  AttentionSpec spec = conformance::spec_of(program, shape.each);
  spec.dtype = shape.types.q;
  spec.kv_dtype = shape.types.kv;
  spec.out_dtype = shape.types.out;
  return spec;
}

// `pattern` as sequence i sees it.
OraclePattern of_sequence(const OraclePattern& pattern, std::size_t i) {
  OraclePattern own = pattern;
  const auto here = [i](Position p) {
    p.b = static_cast<std::int32_t>(i);
    return p;
  };
  if (pattern.score) own.score = [&pattern, here](Real score, const Position& p) { return pattern.score(score, here(p)); };
  if (pattern.mask) own.mask = [&pattern, here](const Position& p) { return pattern.mask(here(p)); };
  return own;
}

std::vector<Lengths> some_lengths() { return {{1, 70}, {60, 130}, {0, 5}, {3, 0}, {1, 1}, {40, 40}, {50, 9}, {0, 0}, {2, 90}}; }

class SequencesBackward : public OnBackward {
 protected:
  // Against the oracle, sequence by sequence; sums over sequences come back.
  static GradientValues expect_each(RaggedBackward& problem, const GradientPattern& pattern, Bound bound = near(2e-5)) {
    GradientValues sums;
    const auto add = [](std::vector<double>& to, const std::vector<double>& values) {
      to.resize(values.size());
      for (std::size_t j = 0; j < values.size(); ++j) to[j] += values[j];
    };
    for (std::size_t i = 0; i < problem.alone.size(); ++i) {
      GradientPattern own = pattern;
      own.pattern = of_sequence(pattern.pattern, i);
      const GradientValues expected = oracle_gradients(problem.alone[i], own), actual = problem.values_of(i);
      EXPECT_TRUE(close(actual.q, expected.q, bound)) << "dq of sequence " << i << " of " << to_string(problem.ragged.shape());
      EXPECT_TRUE(close(actual.k, expected.k, bound)) << "dk of sequence " << i << " of " << to_string(problem.ragged.shape());
      EXPECT_TRUE(close(actual.v, expected.v, bound)) << "dv of sequence " << i << " of " << to_string(problem.ragged.shape());
      add(sums.sinks, expected.sinks);
      for (const auto& [name, values] : expected.buffers) add(sums.buffers[name], values);
    }
    EXPECT_TRUE(problem.clears_the_rest());
    return sums;
  }
};

TEST_P(SequencesBackward, EachAsTheOracleSays) {
  covers("P35 P37");
  for (const QueriesIn queries : {QueriesIn::kBatch, QueriesIn::kPacked}) {
    for (const KeysIn keys : kKeys) {
      const RaggedShape shape{.lengths = some_lengths(),
                              .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 24, .v_head_dim = 16},
                              .queries = queries,
                              .keys = keys};
      RaggedBackward problem(shape);
      problem.add_sinks({0.5F, -1.0F, 2.0F, 0.0F});
      AttentionSpec spec = spec_of("score = score + 0.05 * (kv_idx - q_idx)", shape);
      spec.causal = true;
      problem.run(compile_or_throw(engine(), spec));
      const auto diagonal = [&](const Position& p) { return p.q_idx + shape.lengths[at(p.b)].kv - shape.lengths[at(p.b)].q; };
      const GradientValues sums =
          expect_each(problem, {.pattern = {.score = [](Real s, const Position& p) { return s + 0.05L * (p.kv_idx - p.q_idx); },
                                            .mask = [&](const Position& p) { return p.kv_idx <= diagonal(p); },
                                            .sinks = {0.5, -1.0, 2.0, 0.0}}});
      EXPECT_TRUE(close(widened(problem.d_sinks), sums.sinks, near(2e-5)));
    }
  }
}

// A slope that all pairs of a head share, a bias that sequences share, and a number for each sequence.
TEST_P(SequencesBackward, BuffersAreSummedOverSequences) {
  const std::vector<Lengths> lengths{{5, 33}, {33, 5}, {17, 17}, {17, 17}, {0, 9}, {4, 0}};
  const RaggedShape shape{.lengths = lengths, .each = {.q_heads = 2, .kv_heads = 1, .head_dim = 16}};
  RaggedBackward problem(shape);
  Captures captures;
  std::vector<float> slope{0.1F, -0.2F}, bias = Random(3).normals(33 * 33), of = Random(4).normals(6 * 2);
  captures.add("slope", {2}, slope);
  captures.add("bias", {33, 33}, bias);
  captures.add("of", {6, 2}, of);
  const Attention attention = compile_or_throw(
      engine(), spec_of("buffer slope : f32[num_heads]\nbuffer bias : f32[?, ?]\nbuffer of : f32[batch_size, num_heads]\n"
                        "score = score + slope[h] * (kv_idx - q_idx) + bias[q_idx, kv_idx] + score * of[b, h]\n"
                        "mask = (q_idx + kv_idx) % 5 != 2",
                        shape));
  std::vector<float> d_slope(2, NAN), d_bias(bias.size(), NAN), d_of(of.size(), NAN);
  attention.run(problem.args(&captures.bindings())).value();
  Gradients gradients = problem.gradients();
  gradients.buffers["slope"] = MutableTensorView(d_slope.data(), DType::kF32, {2});
  gradients.buffers["bias"] = MutableTensorView(d_bias.data(), DType::kF32, {33, 33});
  gradients.buffers["of"] = MutableTensorView(d_of.data(), DType::kF32, {6, 2});
  run_backward(attention, problem.args(&captures.bindings()), gradients).value();

  std::vector<Real> slopes(slope.begin(), slope.end()), biases(bias.begin(), bias.end()), ofs(of.begin(), of.end());
  const GradientValues sums =
      expect_each(problem, {.pattern = {.score =
                                            [&](Real s, const Position& p) {
                                              return s + slopes[at(p.h)] * (p.kv_idx - p.q_idx) +
                                                     biases[at(p.q_idx * 33 + p.kv_idx)] + s * ofs[at(p.b * 2 + p.h)];
                                            },
                                        .mask = [](const Position& p) { return (p.q_idx + p.kv_idx) % 5 != 2; }},
                            .buffers = {{"slope", &slopes}, {"bias", &biases}, {"of", &ofs}}});
  EXPECT_TRUE(close(widened(d_slope), sums.buffers.at("slope"), near(1e-4)));
  EXPECT_TRUE(close(widened(d_bias), sums.buffers.at("bias"), near(2e-5)));
  EXPECT_TRUE(close(widened(d_of), sums.buffers.at("of"), near(5e-5)));
}

TEST_P(SequencesBackward, BitsOfEachAlone) {
  covers("D53");
  for (const DType type : {DType::kF32, DType::kBF16}) {
    for (const KeysIn keys : kKeys) {
      RaggedShape shape{.lengths = {{64, 300}, {1, 40}, {130, 130}, {130, 130}, {7, 64}},
                        .each = {.q_heads = 4, .kv_heads = 2, .head_dim = 64},
                        .types = {type, type, type},
                        .keys = keys};
      RaggedBackward problem(shape);
      AttentionSpec spec = spec_of("", shape);
      spec.causal = true;
      const Attention attention = compile_or_throw(engine(), spec);
      problem.run(attention);
      for (std::size_t i = 0; i < shape.lengths.size(); ++i) {
        run_both(attention, problem.alone[i]);
        const GradientValues expected = gradients_of(problem.alone[i]), actual = problem.values_of(i);
        EXPECT_EQ(actual.q, expected.q) << i << " of " << to_string(shape);
        EXPECT_EQ(actual.k, expected.k) << i << " of " << to_string(shape);
        EXPECT_EQ(actual.v, expected.v) << i << " of " << to_string(shape);
      }
    }
  }
}

// FlashAttention's regressions: large scores, sequences with more queries than keys.
TEST_P(SequencesBackward, D25_LargeScores) {
  covers("D25");
  std::vector<std::vector<Lengths>> calls{{{76, 1}, {34, 1}, {146, 1}}};
  for (const std::int32_t length : {1, 2, 5, 17, 128}) calls.push_back({{length, length}});
  for (const std::vector<Lengths>& lengths : calls) {
    for (const bool causal : {false, true}) {
      const RaggedShape shape{.lengths = lengths, .each = {.q_heads = 2, .kv_heads = 2, .head_dim = 32}};
      RaggedBackward problem(shape);
      problem.scale_inputs(5, lengths.size() == 1 ? 3 : 1);
      AttentionSpec spec = spec_of("", shape);
      spec.causal = causal;
      problem.run(compile_or_throw(engine(), spec));
      const auto mask = [&](const Position& p) {
        return !causal || p.kv_idx <= p.q_idx + shape.lengths[at(p.b)].kv - shape.lengths[at(p.b)].q;
      };
      expect_each(problem, {.pattern = {.mask = mask}}, near(2e-4));
    }
  }
}

TEST_P(SequencesBackward, RandomCases) {
  const std::int64_t cases = setting("FLEXJIT_SEQUENCE_CASES", 12), first = setting("FLEXJIT_SEQUENCE_SEED", 1);
  for (std::int64_t seed = first; seed < first + cases; ++seed) {
    Random random(static_cast<std::uint64_t>(seed));
    RaggedShape shape;
    shape.seed = static_cast<std::uint64_t>(seed);
    const int sequences = random.integer(1, 5);
    for (int i = 0; i < sequences; ++i)
      shape.lengths.push_back({random.integer(0, 70), random.integer(0, random.chance(0.2) ? 300 : 60)});
    shape.each.kv_heads = random.integer(1, 2);
    shape.each.q_heads = shape.each.kv_heads * random.integer(1, 2);
    constexpr std::int32_t kDims[] = {8, 16, 33};
    shape.each.head_dim = kDims[random.integer(0, 2)];
    shape.each.v_head_dim = kDims[random.integer(0, 2)];
    shape.queries = random.chance(0.5) ? QueriesIn::kBatch : QueriesIn::kPacked;
    shape.keys = kKeys[random.integer(0, 1)];
    SCOPED_TRACE("FLEXJIT_SEQUENCE_SEED=" + std::to_string(seed));
    RaggedBackward problem(shape);
    problem.run(compile_or_throw(
        engine(), spec_of("score = score + 0.1 * b\nmask = (kv_idx + b) % 7 != 2 && kv_idx < kv_len - q_len // 9", shape)));
    expect_each(problem, {.pattern = {.score = [](Real s, const Position& p) { return s + 0.1L * p.b; },
                                      .mask =
                                          [&](const Position& p) {
                                            const Lengths& l = shape.lengths[at(p.b)];
                                            return (p.kv_idx + p.b) % 7 != 2 && p.kv_idx < l.kv - l.q / 9;
                                          }}});
  }
}

INSTANTIATE_TEST_SUITE_P(All, SequencesBackward, ::testing::ValuesIn(backends_here()), name_of_backend);

}  // namespace
}  // namespace flexjit::conformance
