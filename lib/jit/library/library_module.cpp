// Three functions a pattern, five with a backward pass, each a copy or a tail call, so that all which could change is in
// libflexjit.
#include "jit/library/library_module.h"

#include <llvm/IR/Constants.h>
#include <llvm/IR/IRBuilder.h>

#include <initializer_list>

#include "flexjit/c_api.h"

namespace flexjit::jit {
namespace {

constexpr const char* kRun = "flexjit_built_run";
constexpr const char* kRunBackward = "flexjit_built_run_backward";
constexpr const char* kAttention = "flexjit_built_attention";
constexpr unsigned kBundleAlignment = 16;

class LibraryModule {
 public:
  explicit LibraryModule(llvm::Module& module)
      : module_(module),
        context_(module.getContext()),
        pointer_(llvm::PointerType::getUnqual(context_)),
        int32_(llvm::Type::getInt32Ty(context_)),
        int64_(llvm::Type::getInt64Ty(context_)) {}

  void add(const plan::LibraryPattern& pattern) {
    llvm::GlobalVariable* built = built_of(pattern);
    emit_init(pattern.name + "_args_init", pattern.initial_arguments);
    const auto argument = [](llvm::Function* function, unsigned i) { return function->getArg(i); };
    llvm::Function* run = define(pattern.name + "_run", int32_, 2);
    emit_call(run, kRun, {built, argument(run, 0), argument(run, 1)});
    if (!pattern.initial_gradients.empty()) {
      emit_init(pattern.name + "_gradients_init", pattern.initial_gradients);
      llvm::Function* backward = define(pattern.name + "_run_backward", int32_, 3);
      emit_call(backward, kRunBackward, {built, argument(backward, 0), argument(backward, 1), argument(backward, 2)});
    }
    llvm::Function* attention = define(pattern.name + "_attention", int32_, 2);
    emit_call(attention, kAttention, {built, argument(attention, 0), argument(attention, 1)});
  }

  void add_stub(const char* name) {
    llvm::IRBuilder<> builder(entry_of(define(name, int32_, 3)));
    builder.CreateRet(builder.getInt32(0));
  }

 private:
  llvm::GlobalVariable* constant(llvm::Constant* value, const std::string& name, unsigned alignment) {
    auto* global = new llvm::GlobalVariable(module_, value->getType(), true, llvm::GlobalValue::PrivateLinkage, value, name);
    global->setAlignment(llvm::Align(alignment));
    return global;
  }

  // The flexjit_built of c_api.h.
  llvm::GlobalVariable* built_of(const plan::LibraryPattern& pattern) {
    static_assert(sizeof(flexjit_built) == 40 && offsetof(flexjit_built, made_by) == 8);
    static_assert(offsetof(flexjit_built, bundle) == 16 && offsetof(flexjit_built, loaded) == 32);
    auto* made_by = constant(llvm::ConstantDataArray::getString(context_, FLEXJIT_VERSION), pattern.name + ".made_by", 1);
    auto* bundle = constant(llvm::ConstantDataArray::get(context_, pattern.bundle), pattern.name + ".bundle", kBundleAlignment);
    auto* type = llvm::StructType::get(int32_, int32_, pointer_, pointer_, int64_, pointer_);
    auto* value = llvm::ConstantStruct::get(
        type, {llvm::ConstantInt::get(int32_, FLEXJIT_BUILT_VERSION), llvm::ConstantInt::get(int32_, 0), made_by, bundle,
               llvm::ConstantInt::get(int64_, pattern.bundle.size()), llvm::ConstantPointerNull::get(pointer_)});
    return new llvm::GlobalVariable(module_, type, false, llvm::GlobalValue::InternalLinkage, value, pattern.name + ".built");
  }

  // What is written to the one argument.
  void emit_init(const std::string& name, const std::vector<std::uint8_t>& bytes) {
    auto* initial = constant(llvm::ConstantDataArray::get(context_, bytes), name + ".initial", 8);
    llvm::Function* init = define(name, llvm::Type::getVoidTy(context_), 1);
    llvm::IRBuilder<> builder(entry_of(init));
    // Inline: an object needs nothing but libflexjit, not even the C library's memcpy.
    builder.CreateMemCpyInline(init->getArg(0), llvm::Align(8), initial, llvm::Align(8), builder.getInt64(bytes.size()));
    builder.CreateRetVoid();
  }

  // Of pointers.
  llvm::Function* define(const std::string& name, llvm::Type* result, unsigned arguments) {
    auto* type = llvm::FunctionType::get(result, std::vector<llvm::Type*>(arguments, pointer_), false);
    auto* function = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, name, module_);
    function->setDoesNotThrow();
    return function;
  }

  llvm::BasicBlock* entry_of(llvm::Function* function) { return llvm::BasicBlock::Create(context_, "entry", function); }

  void emit_call(llvm::Function* caller, const char* callee, std::initializer_list<llvm::Value*> arguments) {
    llvm::IRBuilder<> builder(entry_of(caller));
    auto* type = llvm::FunctionType::get(int32_, std::vector<llvm::Type*>(arguments.size(), pointer_), false);
    llvm::CallInst* call = builder.CreateCall(module_.getOrInsertFunction(callee, type), std::vector<llvm::Value*>(arguments));
    call->setTailCall();
    builder.CreateRet(call);
  }

  llvm::Module& module_;
  llvm::LLVMContext& context_;
  llvm::PointerType* pointer_;
  llvm::Type* int32_;
  llvm::Type* int64_;
};

}  // namespace

std::unique_ptr<llvm::Module> emit_library_module(llvm::LLVMContext& context, std::span<const plan::LibraryPattern> patterns) {
  auto module = std::make_unique<llvm::Module>("flexjit library", context);
  LibraryModule library(*module);
  for (const plan::LibraryPattern& pattern : patterns) library.add(pattern);
  return module;
}

std::unique_ptr<llvm::Module> emit_engine_stub(llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>("libflexjit", context);
  LibraryModule library(*module);
  for (const char* name : {kRun, kRunBackward, kAttention}) library.add_stub(name);
  return module;
}

}  // namespace flexjit::jit
