// The phases of one compilation, and the kernel as LLVM IR.
#include "jit/object/compile.h"

#include <llvm/Support/raw_ostream.h>

#include "codegen/block_counts.h"
#include "jit/object/debug_object.h"
#include "jit/object/generate.h"
#include "jit/object/internal_error.h"
#include "jit/object/link_image.h"
#include "jit/object/reserve.h"
#include "support/check.h"

namespace flexjit::jit {

namespace {

Result<plan::CodeImage> make_image(Emitted& emitted, const plan::KernelKey& key, PhaseClock& clock) {
  if (reserve::is_taken()) return Diagnostics{};  // what is left to do takes longest, and would be thrown away
  auto object = generate(*emitted.machine, *emitted.module, llvm::CodeGenFileType::ObjectFile);
  if (!object) return object.diagnostics();
  clock.lap("code generation");
  auto linked = link_image(llvm::MemoryBufferRef({object->data(), object->size()}, "kernel"));
  if (!linked) return linked.diagnostics();
  plan::CodeImage image;
  image.bytes = std::move(linked->bytes);
  for (std::size_t i = 0; i < plan::kEntryFacts.size(); ++i) {
    const plan::EntryFacts& entry = plan::kEntryFacts[i];
    if (entry.nest == key.nest) image.entries[static_cast<plan::Entry>(i)] = linked->symbols.at(std::string(entry.function));
  }
  image.key_text = plan::canonical_text(key);
  if (key.debug) image.debug_object = place_sections(*object, linked->sections);
  clock.lap("link");
  image.compile_ms = clock.total_ms();
  image.phases = clock.take();
  return image;
}

}  // namespace

Result<plan::CodeImage> compile(const plan::KernelKey& key) try {
  PhaseClock clock;
  auto emitted = emit(key, clock);
  if (!emitted) return emitted.diagnostics();
  return make_image(*emitted, key, clock);
} catch (const support::InternalError& error) {
  return internal_error(error.what());
}

Result<plan::CountingImage> compile_counting(const plan::KernelKey& key) try {
  PhaseClock clock;
  auto emitted = emit(key, clock);
  if (!emitted) return emitted.diagnostics();
  std::vector<std::string> blocks = codegen::count_blocks(*emitted->module);
  Result<plan::CodeImage> image = make_image(*emitted, key, clock);
  if (!image) return image.diagnostics();
  return plan::CountingImage{std::move(*image), std::move(blocks)};
} catch (const support::InternalError& error) {
  return internal_error(error.what());
}

Result<std::string> print_ir(const plan::KernelKey& key) try {
  PhaseClock clock;
  auto emitted = emit(key, clock);
  if (!emitted) return emitted.diagnostics();
  std::string text;
  llvm::raw_string_ostream out(text);
  emitted->module->print(out, nullptr);
  return text;
} catch (const support::InternalError& error) {
  return internal_error(error.what());
}

Result<std::vector<plan::PhaseTime>> time_passes(const plan::KernelKey& key) try {
  PhaseClock clock;
  auto emitted = emit(key, clock);
  if (!emitted) return emitted.diagnostics();
  return times_of_generating(*emitted);
} catch (const support::InternalError& error) {
  return internal_error(error.what());
}

}  // namespace flexjit::jit
