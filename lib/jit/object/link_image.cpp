// JITLink with a memory manager of our own: sections are laid out one after another in a plain buffer, relocations between them
// are applied, and nothing is mapped or run here. Position independence is checked, not hoped for.
#include "jit/object/link_image.h"

#include <llvm/ExecutionEngine/JITLink/JITLink.h>
#include <llvm/ExecutionEngine/JITLink/aarch64.h>
#include <llvm/ExecutionEngine/JITLink/x86_64.h>
#include <llvm/ExecutionEngine/Orc/SymbolStringPool.h>

#include <optional>

#include "jit/object/internal_error.h"

namespace flexjit::jit {
namespace {

namespace jl = llvm::jitlink;

// Any page-aligned address with room on both sides of pc-relative relocations.
constexpr std::uint64_t kAssumedBase = 0x10000000;
constexpr std::uint64_t kPage = 4096;

Diagnostic link_error(const std::string& message) { return internal_error("linking the kernel failed: " + message); }

bool is_absolute(const jl::LinkGraph& graph, jl::Edge::Kind kind) {
  if (graph.getTargetTriple().isAArch64()) return kind == jl::aarch64::Pointer64 || kind == jl::aarch64::Pointer32;
  return kind == jl::x86_64::Pointer64 || kind == jl::x86_64::Pointer32 || kind == jl::x86_64::Pointer32Signed ||
         kind == jl::x86_64::Pointer16 || kind == jl::x86_64::Pointer8;
}

// Lays all blocks out in one buffer and hands it over instead of finalizing.
class FlatAllocation final : public jl::JITLinkMemoryManager::InFlightAlloc {
 public:
  void abandon(OnAbandonedFunction done) override { done(llvm::Error::success()); }
  void finalize(OnFinalizedFunction done) override {
    done(jl::JITLinkMemoryManager::FinalizedAlloc(llvm::orc::ExecutorAddr(1)));
  }
};

class FlatMemoryManager final : public jl::JITLinkMemoryManager {
 public:
  explicit FlatMemoryManager(std::vector<std::uint8_t>& bytes) : bytes_(bytes) {}

  void allocate(const jl::JITLinkDylib*, jl::LinkGraph& graph, OnAllocatedFunction done) override {
    std::uint64_t size = 0;
    const auto each_block = [&](auto&& visit) {
      for (jl::Section& section : graph.sections()) {
        for (jl::Block* block : section.blocks()) visit(*block);
      }
    };
    each_block([&](jl::Block& block) {
      // The block's address modulo its alignment is fixed by the object.
      const std::uint64_t alignment = block.getAlignment();
      while (size % alignment != block.getAlignmentOffset()) ++size;
      block.setAddress(llvm::orc::ExecutorAddr(kAssumedBase + size));
      size += block.getSize();
    });
    bytes_.assign((size + kPage - 1) / kPage * kPage, 0);
    each_block([&](jl::Block& block) {
      char* target = reinterpret_cast<char*>(bytes_.data()) + (block.getAddress().getValue() - kAssumedBase);
      if (block.isZeroFill()) return;
      std::copy(block.getContent().begin(), block.getContent().end(), target);
      block.setMutableContent({target, block.getSize()});
    });
    done(std::make_unique<FlatAllocation>());
  }
  using JITLinkMemoryManager::allocate;
  void deallocate(std::vector<FinalizedAlloc> allocations, OnDeallocatedFunction done) override {
    for (FinalizedAlloc& allocation : allocations) allocation.release();
    done(llvm::Error::success());
  }

 private:
  std::vector<std::uint8_t>& bytes_;
};

class FlatContext final : public jl::JITLinkContext {
 public:
  FlatContext(FlatMemoryManager& memory, FlatImage& image, std::optional<std::string>& problem)
      : JITLinkContext(nullptr), memory_(memory), image_(image), problem_(problem) {}

  jl::JITLinkMemoryManager& getMemoryManager() override { return memory_; }
  void notifyFailed(llvm::Error error) override { problem_ = llvm::toString(std::move(error)); }

  void lookup(const LookupMap& symbols, std::unique_ptr<jl::JITLinkAsyncLookupContinuation> done) override {
    std::string names;
    for (const auto& [name, flags] : symbols) names += " " + (*name).str();
    done->run(llvm::createStringError("the kernel calls" + names));
  }

  llvm::Error notifyResolved(jl::LinkGraph& graph) override {
    for (jl::Section& section : graph.sections()) {
      if (section.blocks_size() > 0)
        image_.sections[section.getName().str()] = jl::SectionRange(section).getStart().getValue() - kAssumedBase;
    }
    for (jl::Symbol* symbol : graph.defined_symbols()) {
      if (symbol->hasName()) image_.symbols[(*symbol->getName()).str()] = symbol->getAddress().getValue() - kAssumedBase;
    }
    return llvm::Error::success();
  }

  void notifyFinalized(jl::JITLinkMemoryManager::FinalizedAlloc allocation) override { allocation.release(); }

  llvm::Error modifyPassConfig(jl::LinkGraph&, jl::PassConfiguration& passes) override {
    // Debug sections stay in the object file, where debuggers look for them.
    passes.PrePrunePasses.emplace_back([](jl::LinkGraph& graph) -> llvm::Error {
      llvm::SmallVector<jl::Section*, 8> debug;
      for (jl::Section& section : graph.sections()) {
        if (section.getMemLifetime() == llvm::orc::MemLifetime::NoAlloc) debug.push_back(&section);
      }
      for (jl::Section* section : debug) graph.removeSection(*section);
      return llvm::Error::success();
    });
    passes.PostAllocationPasses.emplace_back([](jl::LinkGraph& graph) -> llvm::Error {
      for (jl::Block* block : graph.blocks()) {
        for (const jl::Edge& edge : block->edges()) {
          if (is_absolute(graph, edge.getKind())) return llvm::createStringError("the kernel holds an absolute address");
        }
      }
      return llvm::Error::success();
    });
    return llvm::Error::success();
  }

 private:
  FlatMemoryManager& memory_;
  FlatImage& image_;
  std::optional<std::string>& problem_;
};

}  // namespace

Result<FlatImage> link_image(llvm::MemoryBufferRef object) {
  auto graph = jl::createLinkGraphFromObject(object, std::make_shared<llvm::orc::SymbolStringPool>());
  if (!graph) return link_error(llvm::toString(graph.takeError()));
  FlatImage image;
  std::optional<std::string> problem;
  FlatMemoryManager memory(image.bytes);
  jl::link(std::move(*graph), std::make_unique<FlatContext>(memory, image, problem));
  if (problem) return link_error(*problem);
  return image;
}

}  // namespace flexjit::jit
