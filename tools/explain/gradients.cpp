// Captured buffers -> what their gradients cost: the same backward pass without each of them.
#include <utility>

#include "explain/explanation.h"

namespace flexjit::tools {

Diagnostics measure_gradients(Subject& subject, Explanation& explanation) {
  constexpr double kShare = 0.2;
  if (subject.pass != ExplainedPass::kBackward) return {};
  const Result<std::vector<std::string>> buffers = gradient_buffers(*subject.attention);
  if (!buffers) return buffers.diagnostics();
  std::vector<Contender> rivals;
  for (const std::string& buffer : *buffers) {
    rivals.push_back(subject.contender(*subject.attention));
    rivals.back().training->left_out = buffer;
  }
  if (rivals.empty()) return {};
  const auto compared = compare(subject.contender(*subject.attention), rivals,
                                {.threads = explanation.threads, .seconds = subject.seconds * kShare}, subject.progress);
  if (!compared) return compared.diagnostics();
  for (std::size_t i = 0; i < rivals.size(); ++i) {
    if (const Result<Comparison>& result = (*compared)[i]) explanation.gradients.push_back({(*buffers)[i], cost_of(*result)});
  }
  return {};
}

}  // namespace flexjit::tools
