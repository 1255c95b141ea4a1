// Are the gradients those of the loss?
#include "check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text.h"

bool check_gradients(const ModelSize& size) {
  constexpr double kStep = 1e-5, kTolerance = 1e-6;
  constexpr int kElements = 8;
  const Extents extents{.batch = 2, .length = 40};
  std::mt19937 random(1);
  std::vector<std::uint8_t> text(1000);
  for (std::uint8_t& byte : text) byte = static_cast<std::uint8_t>(random() % 8);
  const Batch batch = draw_batch(text, extents, random);

  Model<double> model(size, random);
  model.loss_and_gradients(batch.bytes, batch.next, extents);
  bool right = true;
  for (Parameter<double>* parameter : model.parameters()) {
    double error = 0, largest = 0;
    for (const double gradient : parameter->gradient.values) largest = std::max(largest, std::abs(gradient));
    for (int i = 0; i < kElements; ++i) {
      // Of the first rows, where those of the embedding are that occur in the text.
      const std::size_t element = random() % std::min<std::size_t>(parameter->value.values.size(), 8UL * size.width);
      double& value = parameter->value.values[element];
      const double before = value;
      value = before + kStep;
      const double above = model.loss(batch.bytes, batch.next, extents);
      value = before - kStep;
      const double below = model.loss(batch.bytes, batch.next, extents);
      value = before;
      error = std::max(error, std::abs((above - below) / (2 * kStep) - parameter->gradient.values[element]));
    }
    const bool close = error <= kTolerance * largest;
    std::printf("%-24s largest gradient %.2e, largest error %.1e%s\n", parameter->name.c_str(), largest, error,
                close ? "" : "  WRONG");
    right = right && close;
  }
  return right;
}
