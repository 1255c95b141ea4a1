// A transformer over bytes: from texts to the loss of predicting each next byte, and to the gradients of all parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "attention.h"
#include "layers.h"

struct ModelSize {
  int layers = 2, width = 128, heads = 4;
};

// h = x + attention(norm(x)), y = h + mlp(norm(h)).
template <typename Real>
class Block {
 public:
  // `out_gain` keeps the sum over all blocks of the size of one.
  Block(const std::string& name, const ModelSize& size, double out_gain, std::mt19937& random);
  Matrix<Real> forward(Matrix<Real> x, const Extents& extents);
  Matrix<Real> backward(Matrix<Real> d_y);
  void collect(std::vector<Parameter<Real>*>& parameters);

 private:
  RmsNorm<Real> attention_norm_, mlp_norm_;
  SelfAttention<Real> attention_;
  Mlp<Real> mlp_;
  Matrix<Real> x_, x_normed_, h_, h_normed_;  // of the last forward pass
};

template <typename Real>
class Model {
 public:
  Model(const ModelSize& size, std::mt19937& random);

  // (positions, 256). Texts follow one another in `bytes`.
  Matrix<Real> logits(const std::vector<std::uint8_t>& bytes, const Extents& extents);
  // The loss in nats a byte, where the byte after bytes[i] is next[i].
  double loss(const std::vector<std::uint8_t>& bytes, const std::vector<std::uint8_t>& next, const Extents& extents);
  // The same, and adds to the gradients of the parameters.
  double loss_and_gradients(const std::vector<std::uint8_t>& bytes, const std::vector<std::uint8_t>& next,
                            const Extents& extents);
  // All there are; they live as long as the model.
  std::vector<Parameter<Real>*> parameters();

 private:
  Embedding<Real> embedding_;
  std::vector<Block<Real>> blocks_;
  RmsNorm<Real> norm_;
  Linear<Real> unembedding_;
  Matrix<Real> last_, last_normed_;  // of the last forward pass
};

// A step of Adam (Kingma and Ba, 2015) number `step`, from 1 on. Gradients are then 0.
template <typename Real>
void adam_step(const std::vector<Parameter<Real>*>& parameters, double rate, int step);
