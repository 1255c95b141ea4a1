// main_test_lm [--reduced], main_test_vision or visual_attention_mask: FlexAttention-Examples' programs by their names.
#include <cstdio>
#include <exception>
#include <string>

#include "programs.h"

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "", option = argc > 2 ? argv[2] : "";
  if (name == "main_test_lm" && (option.empty() || option == "--reduced"))
    return test_language_models(option.empty() ? Sizes::kAll : Sizes::kReduced);
  if (name == "main_test_vision" && option.empty()) return test_vision();
  if (name == "visual_attention_mask" && option.empty()) return print_masks();
  std::fprintf(stderr, "attention_ops main_test_lm [--reduced] | main_test_vision | visual_attention_mask\n");
  return 2;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
