// Builds a module around one body, generates and links it as the compiler does, and maps it or hands it to an emulator.
#include "emitted_function.h"

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "codegen/emit/target_names.h"
#include "jit/object/link_image.h"
#include "jit/object/target_machine.h"

namespace flexjit::test {
namespace {

using codegen::Emitter;
using codegen::Float;
using codegen::Index;
using codegen::Ptr;

#ifdef FLEXJIT_RUN_FUNCTION
constexpr const char* kEmulatorCommand = FLEXJIT_RUN_FUNCTION;
#else
constexpr const char* kEmulatorCommand = nullptr;
#endif

void emit_elementwise(Emitter& e, Ptr arguments, const BinaryBody& body, SecondOperand second) {
  const Ptr a = e.load_pointer(e.at_byte(arguments, offsetof(FunctionArguments, a)));
  const Ptr b = e.load_pointer(e.at_byte(arguments, offsetof(FunctionArguments, b)));
  const Ptr y = e.load_pointer(e.at_byte(arguments, offsetof(FunctionArguments, y)));
  const Index count = e.load_index(e.at_byte(arguments, offsetof(FunctionArguments, count)));
  const Index whole{e.ir().CreateSub(count.value, e.ir().CreateURem(count.value, e.index(e.lanes()).value))};
  const Float uniform = second == SecondOperand::kUniform ? e.load(b) : Float{};
  e.for_range("vectors", e.index(0), whole, e.index(e.lanes()), [&](Index i) {
    e.store(body(e, e.load_vector(e.at(a, i)), uniform ? uniform : e.load_vector(e.at(b, i))).value, e.at(y, i));
  });
  e.for_range("scalars", whole, count, e.index(1),
              [&](Index i) { e.store(body(e, e.load(e.at(a, i)), uniform ? uniform : e.load(e.at(b, i))).value, e.at(y, i)); });
}

jit::FlatImage compile(plan::Isa isa, const WholeBody& body) {
  const plan::Target target{isa, "", false};
  llvm::LLVMContext context;
  llvm::Module module("test", context);
  module.setTargetTriple(llvm::Triple(codegen::target_names(target).triple));
  Emitter e(module, isa);
  body(e, e.begin_function("run", "arguments"));
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
  return jit::link_image(llvm::MemoryBufferRef({object.data(), object.size()}, "test")).value();
}

void append(std::ofstream& file, std::span<const float> values) {
  file.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
}

}  // namespace

bool can_call(plan::Isa isa) {
  return plan::can_execute({isa, "", false}) || (isa == plan::Isa::kAArch64 && kEmulatorCommand != nullptr);
}

EmittedFunction::EmittedFunction(plan::Isa isa, const BinaryBody& body, SecondOperand second)
    : EmittedFunction(isa, [&](Emitter& e, Ptr arguments) { emit_elementwise(e, arguments, body, second); }) {}

EmittedFunction::EmittedFunction(plan::Isa isa, const WholeBody& body) : emulated_(!plan::can_execute({isa, "", false})) {
  jit::FlatImage linked = compile(isa, body);
  image_ = std::move(linked.bytes);
  offset_ = linked.symbols.at("run");
  if (emulated_) return;
  code_ = mmap(nullptr, image_.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code_ == MAP_FAILED) throw std::bad_alloc();
  std::memcpy(code_, image_.data(), image_.size());
  mprotect(code_, image_.size(), PROT_READ | PROT_EXEC);
}

EmittedFunction::~EmittedFunction() {
  if (code_ != nullptr) munmap(code_, image_.size());
}

void EmittedFunction::operator()(std::span<const float> a, std::span<const float> b, std::span<float> y) const {
  if (emulated_) return call_emulated(a, b, y);
  const FunctionArguments arguments{a.data(), b.data(), y.data(), static_cast<std::int64_t>(y.size())};
  reinterpret_cast<EntryPoint>(static_cast<char*>(code_) + offset_)(&arguments);
}

void EmittedFunction::call_emulated(std::span<const float> a, std::span<const float> b, std::span<float> y) const {
  std::string directory = (std::filesystem::temp_directory_path() / "flexjit-function-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error("no temporary directory");
  std::ofstream(directory + "/image", std::ios::binary)
      .write(reinterpret_cast<const char*>(image_.data()), static_cast<std::streamsize>(image_.size()));
  std::vector<float> second(b.begin(), b.end());
  second.resize(y.size());
  {
    std::ofstream in(directory + "/in", std::ios::binary);
    append(in, a.first(y.size()));
    append(in, second);
  }
  const std::string command = std::string(kEmulatorCommand) + " " + directory + "/image " + std::to_string(offset_) + " " +
                              std::to_string(y.size()) + " " + directory + "/in " + directory + "/out";
  const int status = std::system(command.c_str());
  std::ifstream out(directory + "/out", std::ios::binary);
  out.read(reinterpret_cast<char*>(y.data()), static_cast<std::streamsize>(y.size_bytes()));
  const bool complete = status == 0 && out.good();
  std::filesystem::remove_all(directory);
  if (!complete) throw std::runtime_error("failed: " + command);
}

}  // namespace flexjit::test
