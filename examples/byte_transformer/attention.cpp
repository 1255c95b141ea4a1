// The views that make flexjit read and write the rows of matrices, and the pattern.
#include "attention.h"

#include <cmath>

using flexjit::MutableTensorView, flexjit::TensorView;

static constexpr const char* kScore = "score - slope[h] * (q_idx - kv_idx)";
static constexpr const char* kMask = "q_idx >= kv_idx";

template <typename Real>
static constexpr flexjit::DType kType = sizeof(Real) == sizeof(float) ? flexjit::DType::kF32 : flexjit::DType::kF64;

// Part `part` of the rows, `heads` * head_dim wide, as (batch, heads, length, head_dim).
template <typename Real>
static MutableTensorView view_of(Matrix<Real>& matrix, const Extents& extents, int heads, int head_dim, int part) {
  MutableTensorView view(matrix.row(0) + part * heads * head_dim, kType<Real>,
                         {extents.batch, heads, extents.length, head_dim});
  view.strides = {static_cast<std::int64_t>(extents.length) * matrix.columns, head_dim, matrix.columns, 1};
  return view;
}

// ALiBi's slopes, to begin with: 2^-2, 2^-4, ... for four heads.
template <typename Real>
static Matrix<Real> first_slopes(int heads) {
  Matrix<Real> slopes(1, heads);
  for (int h = 0; h < heads; ++h) slopes.row(0)[h] = static_cast<Real>(std::exp2(-8.0 * (h + 1) / heads));
  return slopes;
}

template <typename Real>
SelfAttention<Real>::SelfAttention(const std::string& name, int width, int heads, double out_gain, std::mt19937& random)
    : in(name + ".in", width, 3 * width, 1, random),
      out(name + ".out", width, width, out_gain, random),
      slope(name + ".slope", first_slopes<Real>(heads)),
      heads_(heads) {
  bindings_.buffers["slope"] = TensorView(slope.value.row(0), kType<Real>, {heads});
  flexjit::AttentionSpec spec;
  spec.score_mod = kScore;
  spec.mask_mod = kMask;
  spec.dtype = kType<Real>;
  spec.head_dim = width / heads;
  attention_ = flexjit::default_engine().compile(spec.declare(bindings_)).value();
}

template <typename Real>
flexjit::RunArgs SelfAttention<Real>::args() {
  const int head_dim = attended_.columns / heads_;
  bindings_.buffers["slope"].data = slope.value.row(0);  // where it lies now: layers may have been moved
  return {.q = view_of(projected_, extents_, heads_, head_dim, 0),
          .k = view_of(projected_, extents_, heads_, head_dim, 1),
          .v = view_of(projected_, extents_, heads_, head_dim, 2),
          .out = view_of(attended_, extents_, heads_, head_dim, 0),
          .lse = MutableTensorView(lse_.row(0), kType<Real>, {extents_.batch, heads_, extents_.length}),
          .bindings = &bindings_};
}

template <typename Real>
Matrix<Real> SelfAttention<Real>::forward(const Matrix<Real>& x, const Extents& extents) {
  extents_ = extents;
  projected_ = in.forward(x);
  attended_ = Matrix<Real>(x.rows, x.columns);
  lse_ = Matrix<Real>(heads_, x.rows);
  attention_.run(args()).value();
  return out.forward(attended_);
}

template <typename Real>
Matrix<Real> SelfAttention<Real>::backward(const Matrix<Real>& x, const Matrix<Real>& d_y) {
  const int head_dim = attended_.columns / heads_;
  Matrix<Real> d_attended = out.backward(attended_, d_y), d_projected(x.rows, projected_.columns), d_slope(1, heads_);
  flexjit::Gradients gradients{.out = view_of(d_attended, extents_, heads_, head_dim, 0),
                               .q = view_of(d_projected, extents_, heads_, head_dim, 0),
                               .k = view_of(d_projected, extents_, heads_, head_dim, 1),
                               .v = view_of(d_projected, extents_, heads_, head_dim, 2)};
  gradients.buffers["slope"] = MutableTensorView(d_slope.row(0), kType<Real>, {heads_});
  flexjit::run_backward(attention_, args(), gradients).value();
  add(slope.gradient, d_slope);
  return in.backward(x, d_projected);
}

template class SelfAttention<float>;
template class SelfAttention<double>;
