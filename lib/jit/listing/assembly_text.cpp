// Line by line. Labels open blocks, the comments after them name blocks and loops, `.loc` says what follows is for.
#include "jit/listing/assembly_text.h"

#include <llvm/ADT/StringExtras.h>

#include <algorithm>

namespace flexjit::jit {
namespace {

using plan::CodeBlock;
using plan::CodeFunction;

class AssemblyReader {
 public:
  AssemblyReader(llvm::StringRef text, AsmComment comment) : text_(text), comment_(comment == AsmComment::kHash ? "#" : "//") {}

  ParsedAssembly read() {
    for (llvm::StringRef rest = text_; !rest.empty();) {
      auto [line, after] = rest.split('\n');
      read_line(line);
      rest = after;
    }
    return std::move(parsed_);
  }

 private:
  void read_line(llvm::StringRef line) {
    auto [code, remark] = line.split(comment_);
    code = code.trim();
    remark = remark.trim();
    if (code.starts_with(".loc")) {
      read_location(code);
    } else if (code.ends_with(":")) {
      read_label(code.drop_back(), remark);
    } else if (code.empty()) {
      read_remark(remark);
    } else if (!code.starts_with(".") && inside_) {
      add_instruction(code, remark);
    } else if (code.starts_with(".size")) {
      inside_ = false;
    }
  }

  // .loc 1 8 3
  void read_location(llvm::StringRef code) {
    llvm::SmallVector<llvm::StringRef, 6> words;
    llvm::SplitString(code, words);
    unsigned line = 0, column = 0;
    if (words.size() < 4 || words[2].getAsInteger(10, line) || words[3].getAsInteger(10, column)) return;
    from_ = plan::provenance_of(line, column);
  }

  // "attend", ".LBB0_37", and labels that only debug sections use.
  void read_label(llvm::StringRef label, llvm::StringRef remark) {
    if (label.starts_with(".LBB")) {
      open_block(label, remark);
    } else if (remark.starts_with("@")) {
      parsed_.functions.push_back({.name = label.str()});
      parsed_.offsets.emplace_back();
      inside_ = true;
      from_.reset();
      open_block(label, "");
    }
  }

  void open_block(llvm::StringRef label, llvm::StringRef remark) {
    if (!inside_) return;
    parsed_.functions.back().blocks.push_back({.label = label.str()});
    parsed_.offsets.back().emplace_back();
    name_block(remark);
  }

  void name_block(llvm::StringRef remark) {
    if (remark.consume_front("%") && inside_) parsed_.functions.back().blocks.back().name = remark.str();
  }

  // "%bb.38:  # %qk.end" falls through from the block before; "=>  This Inner Loop Header: Depth=5"; "in Loop: ... Depth=4".
  void read_remark(llvm::StringRef remark) {
    if (!inside_) return;
    if (remark.starts_with("%bb.")) {
      auto [label, name] = remark.split(':');
      // The first block has the function's name.
      CodeFunction& function = parsed_.functions.back();
      const bool is_entry = function.blocks.size() == 1 && function.blocks.back().instructions.empty();
      if (!is_entry) open_block(label, "");
      name_block(name.trim().ltrim(comment_).trim());
      return;
    }
    const std::size_t depth = remark.find("Depth=");
    if (depth == llvm::StringRef::npos || remark.starts_with("Parent") || remark.starts_with("Child")) return;
    CodeBlock& block = parsed_.functions.back().blocks.back();
    if (block.loop_depth == 0) remark.drop_front(depth + 6).consumeInteger(10, block.loop_depth);
  }

  void add_instruction(llvm::StringRef code, llvm::StringRef remark) {
    plan::CodeInstruction instruction{.text = code.str(), .comment = remark.str(), .from = from_};
    std::replace(instruction.text.begin(), instruction.text.end(), '\t', ' ');
    instruction.is_spill = remark.contains("Spill") || remark.contains("Reload");
    parsed_.functions.back().blocks.back().instructions.push_back(std::move(instruction));
    parsed_.offsets.back().back().push_back(static_cast<std::size_t>(code.begin() - text_.begin()));
  }

  llvm::StringRef text_;
  llvm::StringRef comment_;
  ParsedAssembly parsed_;
  std::optional<plan::Provenance> from_;
  bool inside_ = false;
};

// Copies, constants and jumps are made for what follows.
void infer_origins(plan::CodeFunction& function) {
  std::optional<plan::Provenance> next;
  for (auto block = function.blocks.rbegin(); block != function.blocks.rend(); ++block) {
    for (auto instruction = block->instructions.rbegin(); instruction != block->instructions.rend(); ++instruction) {
      if (instruction->is_spill) continue;
      instruction->is_inferred = !instruction->from && next;
      if (instruction->is_inferred) instruction->from = next;
      next = instruction->from;
    }
  }
}

}  // namespace

ParsedAssembly parse_assembly(llvm::StringRef text, AsmComment comment) {
  ParsedAssembly parsed = AssemblyReader(text, comment).read();
  std::ranges::for_each(parsed.functions, infer_origins);
  return parsed;
}

}  // namespace flexjit::jit
