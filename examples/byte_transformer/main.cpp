// Trains a byte-level transformer on documents: for some seconds, or some steps, from random parameters to a falling loss, the
// bits that it needs for a byte of text that it has not seen, and a sample.
//
//   byte_transformer [--seconds 60] [--steps N] [--documents FOLDER] [--layers 2] [--width 128] [--heads 4] [--batch 8]
//   [--length 128] byte_transformer --check      # compares all gradients with differences
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>

#include "check.h"
#include "model.h"
#include "text.h"

namespace {

struct Options {
  double seconds = 60;
  int steps = std::numeric_limits<int>::max();
  int sample = 300;
  bool check = false;
  std::string documents = DOCUMENTS;
  ModelSize size{};
  Extents extents{.batch = 8, .length = 128};
};

Options parse_options(int count, char** words) {
  Options options;
  const std::map<std::string, int*> numbers{{"--steps", &options.steps},          {"--sample", &options.sample},
                                            {"--layers", &options.size.layers},   {"--width", &options.size.width},
                                            {"--heads", &options.size.heads},     {"--batch", &options.extents.batch},
                                            {"--length", &options.extents.length}};
  for (int i = 1; i < count; ++i) {
    const std::string name = words[i];
    const bool has_value = i + 1 < count;
    if (name == "--check") {
      options.check = true;
    } else if (name == "--documents" && has_value) {
      options.documents = words[++i];
    } else if (name == "--seconds" && has_value) {
      options.seconds = std::stod(words[++i]);
    } else if (const auto number = numbers.find(name); number != numbers.end() && has_value) {
      *number->second = std::stoi(words[++i]);
    } else {
      throw std::runtime_error(name + " is no option, or lacks its value; main.cpp begins with what there is");
    }
  }
  return options;
}

// How much of what was allowed is used up, by time or steps; done at 1.
class Progress {
 public:
  explicit Progress(const Options& options) : options_(options) {}
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }
  double at(int step) const {
    return std::max(seconds() / options_.seconds, static_cast<double>(step) / static_cast<double>(options_.steps));
  }

 private:
  const Options& options_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void train(Model<float>& model, const std::vector<std::uint8_t>& text, const Options& options, std::mt19937& random) {
  const std::vector<Parameter<float>*> parameters = model.parameters();
  const Progress progress(options);
  double sum = 0, next_report = 0;
  int steps = 0;
  for (int step = 1;; ++step) {
    const double done = progress.at(step);
    const Batch batch = draw_batch(text, options.extents, random);
    sum += model.loss_and_gradients(batch.bytes, batch.next, options.extents);
    ++steps;
    if (done >= next_report || done >= 1) {
      std::printf("step %5d  %5.1f s  loss %.3f nats\n", step, progress.seconds(), sum / steps);
      std::fflush(stdout);
      next_report = std::floor(done * 20 + 1) / 20;
      sum = steps = 0;
    }
    // Up over the first steps, while Adam knows little of the gradients; then down to nothing.
    adam_step(parameters, 3e-3 * std::min(1.0, step / 20.0) * std::max(0.02, 1 - done), step);
    if (done >= 1) return;
  }
}

// The mean loss over a text, cut into pieces of one length; what remains is left out.
double mean_loss(Model<float>& model, const std::vector<std::uint8_t>& text, int length) {
  double sum = 0;
  int count = 0;
  for (auto begin = text.begin(); text.end() - begin > length; begin += length, ++count) {
    sum += model.loss({begin, begin + length}, {begin + 1, begin + length + 1}, {.batch = 1, .length = length});
  }
  return sum / count;
}

// Continues `text`, each byte drawn from what the model expects, its preferences sharpened a little.
std::vector<std::uint8_t> continued(Model<float>& model, std::vector<std::uint8_t> text, const Options& options,
                                    std::mt19937& random) {
  constexpr float kTemperature = 0.7F;
  for (int i = 0; i < options.sample; ++i) {
    const int length = std::min(static_cast<int>(text.size()), options.extents.length);
    const Matrix<float> logits = model.logits({text.end() - length, text.end()}, {.batch = 1, .length = length});
    const float* row = logits.row(length - 1);
    const float largest = *std::max_element(row, row + logits.columns);
    std::vector<double> weights;
    for (int b = 0; b < logits.columns; ++b) weights.push_back(std::exp((row[b] - largest) / kTemperature));
    text.push_back(static_cast<std::uint8_t>(std::discrete_distribution<int>(weights.begin(), weights.end())(random)));
  }
  return text;
}

int run(const Options& options) {
  if (options.check) return check_gradients({.layers = 2, .width = 32, .heads = 4}) ? EXIT_SUCCESS : EXIT_FAILURE;
  std::vector<std::uint8_t> text = read_documents(options.documents);
  const std::vector<std::uint8_t> unseen(text.end() - static_cast<std::ptrdiff_t>(text.size() / 20), text.end());
  text.erase(text.end() - static_cast<std::ptrdiff_t>(unseen.size()), text.end());

  std::mt19937 random(1);
  Model<float> model(options.size, random);
  std::size_t count = 0;
  for (const Parameter<float>* parameter : model.parameters()) count += parameter->value.values.size();
  std::printf("%zu bytes of text, %zu not shown; %zu parameters\n", text.size(), unseen.size(), count);

  const double before = mean_loss(model, unseen, options.extents.length);
  train(model, text, options, random);
  const double after = mean_loss(model, unseen, options.extents.length);
  std::printf("text that was not shown: %.3f nats, %.3f bits per byte (before: %.3f)\n", after, after / std::log(2.0),
              before / std::log(2.0));
  const std::string prompt = "The mask ";
  const std::vector<std::uint8_t> sample = continued(model, {prompt.begin(), prompt.end()}, options, random);
  std::printf("a sample: %.*s\n", static_cast<int>(sample.size()), reinterpret_cast<const char*>(sample.data()));
  return after < 0.8 * before ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(parse_options(count, words));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "byte_transformer: %s\n", error.what());
    return EXIT_FAILURE;
  }
}
