// An archive has an object a pattern, so that a program links those alone that it calls; the other kinds are one object.
#include "jit/library/write_library.h"

#include <llvm/IR/LLVMContext.h>
#include <llvm/Object/ArchiveWriter.h>
#include <llvm/Support/MemoryBuffer.h>

#include <span>

#include "jit/library/library_module.h"
#include "jit/library/link_shared.h"
#include "jit/object/generate.h"
#include "jit/object/internal_error.h"
#include "jit/object/target_machine.h"

namespace flexjit::jit {
namespace {

using Object = llvm::SmallVector<char, 0>;
using Patterns = std::span<const plan::LibraryPattern>;

// Code that every processor of the architecture executes.
Result<Object> object_of(plan::Isa isa, std::unique_ptr<llvm::Module> module) {
  auto machine = make_target_machine({isa, "", false});
  if (!machine) return machine.diagnostics();
  module->setDataLayout((*machine)->createDataLayout());
  module->setTargetTriple((*machine)->getTargetTriple());
  module->setPICLevel(llvm::PICLevel::BigPIC);
  return generate(**machine, *module, llvm::CodeGenFileType::ObjectFile);
}

Result<Object> object_of(plan::Isa isa, Patterns patterns) {
  llvm::LLVMContext context;
  return object_of(isa, emit_library_module(context, patterns));
}

Result<std::vector<std::uint8_t>> archive_of(const plan::LibraryRequest& request) {
  std::vector<Object> objects;
  for (const plan::LibraryPattern& pattern : request.patterns) {
    auto object = object_of(request.isa, Patterns(&pattern, 1));
    if (!object) return object.diagnostics();
    objects.push_back(std::move(*object));
  }
  std::vector<std::string> names;  // of the members, which refer to them
  for (const plan::LibraryPattern& pattern : request.patterns) names.push_back(pattern.name + ".o");
  std::vector<llvm::NewArchiveMember> members;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    members.emplace_back(llvm::MemoryBufferRef({objects[i].data(), objects[i].size()}, names[i]));
  }
  auto archive = llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NormalSymtab, llvm::object::Archive::K_GNU,
                                            /*Deterministic=*/true, /*Thin=*/false);
  if (!archive) return internal_error("writing the archive failed: " + llvm::toString(archive.takeError()));
  return std::vector<std::uint8_t>((*archive)->getBufferStart(), (*archive)->getBufferEnd());
}

Result<std::vector<std::uint8_t>> shared_of(const plan::LibraryRequest& request) {
  auto object = object_of(request.isa, request.patterns);
  if (!object) return object.diagnostics();
  llvm::LLVMContext context;
  auto stub = object_of(request.isa, emit_engine_stub(context));
  if (!stub) return stub.diagnostics();
  return link_shared(*object, *stub, request.soname);
}

}  // namespace

Result<std::vector<std::uint8_t>> write_library(const plan::LibraryRequest& request) {
  switch (request.kind) {
    case LibraryKind::kObject: {
      auto object = object_of(request.isa, request.patterns);
      if (!object) return object.diagnostics();
      return std::vector<std::uint8_t>(object->begin(), object->end());
    }
    case LibraryKind::kArchive: return archive_of(request);
    case LibraryKind::kShared: return shared_of(request);
  }
  return internal_error("a kind of library that does not exist");
}

}  // namespace flexjit::jit
