#include "model.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace {

Weights random_weights(int inputs, int outputs, std::mt19937& random) {
  std::normal_distribution<float> normal(0, 1 / std::sqrt(static_cast<float>(inputs)));
  Weights weights{inputs, outputs, std::vector<float>(static_cast<std::size_t>(inputs) * static_cast<std::size_t>(outputs))};
  for (float& value : weights.values) value = normal(random);
  return weights;
}

// A head's row at a position, its halves rotated.
std::vector<double> rotated(const float* row, int position, const Model& model) {
  const int half = model.size.head_dim / 2;
  std::vector<double> result(row, row + model.size.head_dim);
  for (int j = 0; j < half; ++j) {
    const auto at = static_cast<std::size_t>(position * half + j);
    const double c = static_cast<double>(model.cos[at]), s = static_cast<double>(model.sin[at]);
    const double x = static_cast<double>(row[j]), y = static_cast<double>(row[j + half]);
    result[static_cast<std::size_t>(j)] = x * c - y * s;
    result[static_cast<std::size_t>(j + half)] = y * c + x * s;
  }
  return result;
}

// Causal attention of one head over all positions before and at `position`.
void attend(const Model& model, const Rows& q, const Rows& k, const Rows& v, int head, int position, float* out) {
  const ModelSize& size = model.size;
  const int kv_head = head / (size.heads / size.kv_heads);
  const auto query = rotated(&q[static_cast<std::size_t>(position * size.width() + head * size.head_dim)], position, model);
  std::vector<double> weights, sum(static_cast<std::size_t>(size.head_dim));
  double highest = -1e300, total = 0;
  for (int i = 0; i <= position; ++i) {
    const auto key = rotated(&k[static_cast<std::size_t>((i * size.kv_heads + kv_head) * size.head_dim)], i, model);
    double score = 0;
    for (std::size_t d = 0; d < key.size(); ++d) score += query[d] * key[d];
    weights.push_back(score / std::sqrt(static_cast<double>(size.head_dim)));
    highest = std::max(highest, weights.back());
  }
  for (int i = 0; i <= position; ++i) {
    const double weight = std::exp(weights[static_cast<std::size_t>(i)] - highest);
    const float* value = &v[static_cast<std::size_t>((i * size.kv_heads + kv_head) * size.head_dim)];
    total += weight;
    for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += weight * static_cast<double>(value[d]);
  }
  for (std::size_t d = 0; d < sum.size(); ++d) out[d] = static_cast<float>(sum[d] / total);
}

}  // namespace

Rows Weights::times(const Rows& x) const {
  const std::size_t n = static_cast<std::size_t>(inputs), m = static_cast<std::size_t>(outputs), rows = x.size() / n;
  Rows y(rows * m);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t o = 0; o < m; ++o) y[r * m + o] += x[r * n + i] * values[i * m + o];
    }
  }
  return y;
}

Rows normalised(const Rows& x, int width) {
  Rows y = x;
  const auto n = static_cast<std::size_t>(width);
  for (std::size_t row = 0; row < x.size(); row += n) {
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) squares += static_cast<double>(x[row + i]) * static_cast<double>(x[row + i]);
    const auto factor = static_cast<float>(1 / std::sqrt(squares / width + 1e-6));
    for (std::size_t i = 0; i < n; ++i) y[row + i] *= factor;
  }
  return y;
}

std::uint8_t most_likely(const float* logits) {
  return static_cast<std::uint8_t>(std::max_element(logits, logits + 256) - logits);
}

Model::Model(const ModelSize& of, unsigned seed) : size(of) {
  std::mt19937 random(seed);
  embedding = random_weights(256, size.width(), random);
  for (float& value : embedding.values) value *= 16;  // bytes differ
  for (int i = 0; i < size.layers; ++i) {
    const int kv_width = size.kv_heads * size.head_dim;
    layers.push_back({random_weights(size.width(), size.width(), random), random_weights(size.width(), kv_width, random),
                      random_weights(size.width(), kv_width, random), random_weights(size.width(), size.width(), random),
                      random_weights(size.width(), size.hidden, random), random_weights(size.hidden, size.width(), random)});
  }
  for (int p = 0; p < size.positions; ++p) {
    for (int j = 0; j < size.head_dim / 2; ++j) {
      const double angle = p * std::pow(1e4, -2.0 * j / size.head_dim);
      cos.push_back(static_cast<float>(std::cos(angle)));
      sin.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

Rows Model::embed(const std::vector<std::uint8_t>& bytes) const {
  Rows x;
  for (const std::uint8_t byte : bytes) {
    const auto row = embedding.values.begin() + byte * size.width();
    x.insert(x.end(), row, row + size.width());
  }
  return x;
}

void Model::finish_layer(const Layer& layer, const Rows& attended, Rows& x) const {
  const Rows projected = layer.out.times(attended);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += projected[i];
  Rows hidden = layer.up.times(normalised(x, size.width()));
  for (float& value : hidden) value = std::max(value, 0.0F);
  const Rows made = layer.down.times(hidden);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += made[i];
}

Rows Model::logits(const Rows& x) const {
  const Rows last = normalised(x, size.width());
  const auto width = static_cast<std::size_t>(size.width());
  Rows result;
  for (std::size_t row = 0; row < last.size(); row += width) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      float sum = 0;
      for (std::size_t i = 0; i < width; ++i) sum += last[row + i] * embedding.values[byte * width + i];
      result.push_back(sum);
    }
  }
  return result;
}

Rows Model::logits_of(const std::vector<std::uint8_t>& bytes) const {
  Rows x = embed(bytes);
  for (const Layer& layer : layers) {
    const Rows input = normalised(x, size.width());
    const Rows q = layer.q.times(input), k = layer.k.times(input), v = layer.v.times(input);
    Rows attended(x.size());
    for (int position = 0; position < static_cast<int>(bytes.size()); ++position) {
      for (int head = 0; head < size.heads; ++head) {
        float* out = &attended[static_cast<std::size_t>(position * size.width() + head * size.head_dim)];
        attend(*this, q, k, v, head, position, out);
      }
    }
    finish_layer(layer, attended, x);
  }
  return logits(Rows(x.end() - size.width(), x.end()));
}
