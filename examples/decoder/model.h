// A decoder-only transformer of bytes with made-up weights: what a layer computes around its attention, and the whole of it
// once more without a cache, naively, to check with.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

struct ModelSize {
  int layers = 2, heads = 4, kv_heads = 2, head_dim = 16, hidden = 128, positions = 512;
  int width() const { return heads * head_dim; }
};

using Rows = std::vector<float>;  // row by row

// Row-major; a vector x of `inputs` gives x W of `outputs`.
struct Weights {
  int inputs = 0, outputs = 0;
  std::vector<float> values;
  Rows times(const Rows& x) const;
};

struct Layer {
  Weights q, k, v, out, up, down;
};

struct Model {
  explicit Model(const ModelSize& of, unsigned seed);

  Rows embed(const std::vector<std::uint8_t>& bytes) const;
  // Adds what the layer makes of the outputs of its attention, then its perceptron, to x.
  void finish_layer(const Layer& layer, const Rows& attended, Rows& x) const;
  // 256 numbers for each row of the last layer.
  Rows logits(const Rows& x) const;
  // The logits of the last of these bytes, everything computed anew: no cache, no pages, attention written down as it is.
  Rows logits_of(const std::vector<std::uint8_t>& bytes) const;

  ModelSize size;
  Weights embedding;  // (256, width), also of the logits
  std::vector<Layer> layers;
  std::vector<float> cos, sin;  // (positions, head_dim / 2), of rotary embeddings
};

// x / rms(x), row by row.
Rows normalised(const Rows& x, int width);
std::uint8_t most_likely(const float* logits);
