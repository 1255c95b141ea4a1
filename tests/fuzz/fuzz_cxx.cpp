// Bytes -> a C++ text in one of its forms -> diagnostics, or a program that the language accepts. Nothing may crash, hang, read
// a file or trip a sanitizer; every diagnostic must render inside its line.
//
// The first byte chooses: 1 a lambda of a score, 2 of a mask, 3 both (split at the next byte 1), 4 a program in fp64; anything
// else is itself of a program, so that files of mods are a corpus.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "ir/lower/lower.h"
#include "languages/cxx_door.h"
#include "require.h"
#include "support/large_stack.h"

extern "C" const flexjit::languages::CxxDoor* flexjit_cxx_door();

// Clang's libraries are not instrumented: they use again what inline functions of LLVM, which are, have marked as nobody's.
extern "C" const char* __asan_default_options() { return "allow_user_poisoning=0"; }

namespace {

using namespace flexjit;
using fuzz::require;

languages::CxxRequest request_of(std::string_view bytes) {
  languages::CxxRequest request;
  const char form = bytes.empty() ? '\n' : bytes[0];
  const std::string_view rest = bytes.substr(bytes.empty() ? 0 : 1);
  const auto add = [&](const char* name, std::string_view text) {
    request.texts.push_back({name, std::string(text)});
    request.names.emplace_back(name);
  };
  const std::size_t middle = rest.find('\x01');
  switch (form) {
    case 1: add("score_mod", rest); break;
    case 2: add("mask_mod", rest); break;
    case 3:
      add("score_mod", rest.substr(0, middle));
      add("mask_mod", middle == rest.npos ? "[](int h) { return h > 0; }" : rest.substr(middle + 1));
      break;
    case 4:
      request.precision = support::Precision::kFp64;
      request.texts.push_back({"mod.cpp", std::string(rest)});
      break;
    default: request.texts.push_back({"mod.cpp", std::string(bytes)}); break;
  }
  return request;
}

void translate(const languages::CxxRequest& request) {
  const Result<languages::CxxTranslation> made = flexjit_cxx_door()->translate(request);
  if (!made) return fuzz::check_diagnostics(made.diagnostics());
  if (!made->warnings.empty()) fuzz::check_diagnostics(made->warnings);
  dsl::Source source;
  source.precision = request.precision;
  source.file = made->program;
  const Result<ir::Lowered> lowered = ir::lower_source(source);
  if (!lowered) fuzz::check_diagnostics(lowered.diagnostics());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(data, data + size);
  const languages::CxxRequest request = request_of(bytes);
  support::on_large_stack(
      [&] {
        translate(request);
        return true;
      },
      std::size_t{256} << 20);  // as lib/languages/cxx.cpp has it
  return 0;
}
