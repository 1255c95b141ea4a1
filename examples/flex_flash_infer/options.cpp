// --name value and --name=value -> Options.
#include "options.h"

#include <charconv>
#include <cstdio>
#include <map>

namespace {

bool parse_number(const std::string& text, std::int32_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0;
}

}  // namespace

std::optional<Options> parse_options(int argc, char** argv) {
  Options options;
  const std::map<std::string, std::int32_t*> numbers{
      {"--q_len", &options.q_len},
      {"--kv_len", &options.kv_len},
      {"--num_qo_heads", &options.num_qo_heads},
      {"--num_kv_heads", &options.num_kv_heads},
      {"--head_dim", &options.head_dim},
      {"--block_size_row", &options.block_size_row},
      {"--block_size_col", &options.block_size_col},
      {"--window_size", &options.window_size},
      {"--chunk_size", &options.chunk_size},
  };
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i], value;
    if (const std::size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    } else if (i + 1 < argc) {
      value = argv[++i];
    }
    const auto number = numbers.find(name);
    if (name == "--mask_type" && !value.empty()) {
      options.mask_type = value;
    } else if (number == numbers.end() || !parse_number(value, *number->second)) {
      std::fprintf(stderr, "flex_flash_infer: `%s %s` is no flag with a number above 0; flags are --mask_type", name.c_str(),
                   value.c_str());
      for (const auto& [known, where] : numbers) std::fprintf(stderr, ", %s", known.c_str());
      std::fputs("\n", stderr);
      return std::nullopt;
    }
  }
  return options;
}
