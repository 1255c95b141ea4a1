// Builds a module around one body, generates and links it as the compiler does, and maps it.
#include "emitted_function.h"

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>
#include <sys/mman.h>

#include <cstring>
#include <stdexcept>

#include "codegen/target_names.h"
#include "jit/link_image.h"
#include "jit/target_machine.h"

namespace flexjit::testing {

using codegen::Emitter;
using codegen::Float;
using codegen::Index;
using codegen::Ptr;

EmittedFunction::EmittedFunction(plan::Isa isa, const BinaryBody& body) {
  const plan::Target target{isa, ""};
  llvm::LLVMContext context;
  llvm::Module module("test", context);
  module.setTargetTriple(llvm::Triple(codegen::target_names(target).triple));
  Emitter e(module, isa);
  const Ptr arguments = e.begin_function("run", "arguments");
  const Ptr a = e.load_pointer(e.at_byte(arguments, offsetof(Arguments, a)));
  const Ptr b = e.load_pointer(e.at_byte(arguments, offsetof(Arguments, b)));
  const Ptr y = e.load_pointer(e.at_byte(arguments, offsetof(Arguments, y)));
  const Index count = e.load_index(e.at_byte(arguments, offsetof(Arguments, count)));
  const Index whole{e.ir().CreateSub(count.value, e.ir().CreateURem(count.value, e.index(e.lanes()).value))};
  e.for_range("vectors", e.index(0), whole, e.index(e.lanes()),
              [&](Index i) { e.store(body(e, e.load_vector(e.at(a, i)), e.load_vector(e.at(b, i))).value, e.at(y, i)); });
  e.for_range("scalars", whole, count, e.index(1),
              [&](Index i) { e.store(body(e, e.load(e.at(a, i)), e.load(e.at(b, i))).value, e.at(y, i)); });
  e.end_function();

  auto machine = std::move(jit::make_target_machine(target)).value();
  module.setDataLayout(machine->createDataLayout());
  if (llvm::verifyModule(module, &llvm::errs())) throw std::logic_error("invalid module");
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream out(object);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, out, nullptr, llvm::CodeGenFileType::ObjectFile))
    throw std::logic_error("no object");
  passes.run(module);
  const auto image = jit::link_image(llvm::MemoryBufferRef({object.data(), object.size()}, "test")).value();
  size_ = image.bytes.size();
  code_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code_ == MAP_FAILED) throw std::bad_alloc();
  std::memcpy(code_, image.bytes.data(), size_);
  mprotect(code_, size_, PROT_READ | PROT_EXEC);
  run_ = reinterpret_cast<void (*)(const Arguments*)>(static_cast<char*>(code_) + image.symbols.at("run"));
}

EmittedFunction::~EmittedFunction() { munmap(code_, size_); }

void EmittedFunction::operator()(std::span<const float> a, std::span<const float> b, std::span<float> y) const {
  const Arguments arguments{a.data(), b.data(), y.data(), static_cast<std::int64_t>(y.size())};
  run_(&arguments);
}

}  // namespace flexjit::testing
