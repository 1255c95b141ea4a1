// The blocks, the model of them, and its optimiser.
#include "model.h"

#include <algorithm>
#include <cmath>

template <typename Real>
Block<Real>::Block(const std::string& name, const ModelSize& size, double out_gain, std::mt19937& random)
    : attention_norm_(name + ".attention.norm", size.width),
      mlp_norm_(name + ".mlp.norm", size.width),
      attention_(name + ".attention", size.width, size.heads, out_gain, random),
      mlp_(name + ".mlp", size.width, out_gain, random) {}

template <typename Real>
Matrix<Real> Block<Real>::forward(Matrix<Real> x, const Extents& extents) {
  x_ = std::move(x);
  x_normed_ = attention_norm_.forward(x_);
  h_ = attention_.forward(x_normed_, extents);
  add(h_, x_);
  h_normed_ = mlp_norm_.forward(h_);
  Matrix<Real> y = mlp_.forward(h_normed_);
  add(y, h_);
  return y;
}

template <typename Real>
Matrix<Real> Block<Real>::backward(Matrix<Real> d_y) {
  add(d_y, mlp_norm_.backward(h_, mlp_.backward(h_normed_, d_y)));
  add(d_y, attention_norm_.backward(x_, attention_.backward(x_normed_, d_y)));
  return d_y;
}

template <typename Real>
void Block<Real>::collect(std::vector<Parameter<Real>*>& parameters) {
  parameters.insert(parameters.end(), {&attention_norm_.gain, &attention_.in.weight, &attention_.out.weight, &attention_.slope,
                                       &mlp_norm_.gain, &mlp_.in.weight, &mlp_.out.weight});
}

template <typename Real>
Model<Real>::Model(const ModelSize& size, std::mt19937& random)
    : embedding_(size.width, random), norm_("norm", size.width), unembedding_("unembedding", size.width, 256, 0.5, random) {
  for (int i = 0; i < size.layers; ++i) {
    blocks_.emplace_back("block" + std::to_string(i), size, 1 / std::sqrt(2.0 * size.layers), random);
  }
}

template <typename Real>
Matrix<Real> Model<Real>::logits(const std::vector<std::uint8_t>& bytes, const Extents& extents) {
  Matrix<Real> x = embedding_.forward(bytes);
  for (Block<Real>& block : blocks_) x = block.forward(std::move(x), extents);
  last_ = std::move(x);
  last_normed_ = norm_.forward(last_);
  return unembedding_.forward(last_normed_);
}

template <typename Real>
double Model<Real>::loss(const std::vector<std::uint8_t>& bytes, const std::vector<std::uint8_t>& next,
                         const Extents& extents) {
  Matrix<Real> found = logits(bytes, extents);
  return cross_entropy(found, next);
}

template <typename Real>
double Model<Real>::loss_and_gradients(const std::vector<std::uint8_t>& bytes, const std::vector<std::uint8_t>& next,
                                       const Extents& extents) {
  Matrix<Real> found = logits(bytes, extents);
  const double loss = cross_entropy(found, next);
  Matrix<Real> d_x = norm_.backward(last_, unembedding_.backward(last_normed_, found));
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) d_x = block->backward(std::move(d_x));
  embedding_.backward(bytes, d_x);
  return loss;
}

template <typename Real>
std::vector<Parameter<Real>*> Model<Real>::parameters() {
  std::vector<Parameter<Real>*> all{&embedding_.table};
  for (Block<Real>& block : blocks_) block.collect(all);
  all.insert(all.end(), {&norm_.gain, &unembedding_.weight});
  return all;
}

template <typename Real>
void adam_step(const std::vector<Parameter<Real>*>& parameters, double rate, int step) {
  constexpr Real kMean{0.9F}, kSquare{0.98F};
  const auto mean_part = static_cast<Real>(1 - std::pow(kMean, step)),
             square_part = static_cast<Real>(1 - std::pow(kSquare, step));
  for (Parameter<Real>* parameter : parameters) {
    for (std::size_t i = 0; i < parameter->value.values.size(); ++i) {
      Real &gradient = parameter->gradient.values[i], &mean = parameter->mean[i], &square = parameter->square[i];
      mean += (1 - kMean) * (gradient - mean);
      square += (1 - kSquare) * (gradient * gradient - square);
      parameter->value.values[i] -=
          static_cast<Real>(rate) * (mean / mean_part) / (std::sqrt(square / square_part) + Real{1e-9F});
      gradient = 0;
    }
  }
}

template class Block<float>;
template class Block<double>;
template class Model<float>;
template class Model<double>;
template void adam_step(const std::vector<Parameter<float>*>&, double, int);
template void adam_step(const std::vector<Parameter<double>*>&, double, int);
