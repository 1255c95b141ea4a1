// The text is parsed once by LLVM's assembler into a streamer that keeps instructions by their place; each block then runs some
// hundred times through LLVM's pipeline simulator.
#include "jit/listing/machine_model.h"

#include <llvm/ADT/STLFunctionalExtras.h>
#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCInstPrinter.h>
#include <llvm/MC/MCInstrAnalysis.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCObjectFileInfo.h>
#include <llvm/MC/MCParser/MCAsmParser.h>
#include <llvm/MC/MCParser/MCTargetAsmParser.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCStreamer.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/MCA/Context.h>
#include <llvm/MCA/CustomBehaviour.h>
#include <llvm/MCA/InstrBuilder.h>
#include <llvm/MCA/Pipeline.h>
#include <llvm/MCA/Support.h>
#include <llvm/Support/FormatVariadic.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/raw_ostream.h>

#include <algorithm>
#include <map>

#include "codegen/emit/target_names.h"

namespace flexjit::jit {
namespace {

// By offset in the text.
using InstructionMap = std::map<std::size_t, llvm::MCInst>;

// What is done with each instruction while the symbols that it names exist.
using Visit = llvm::function_ref<void(std::size_t offset, const llvm::MCInst&, const llvm::MCSubtargetInfo&)>;

class InstructionCollector final : public llvm::MCStreamer {
 public:
  InstructionCollector(llvm::MCContext& context, const char* begin, Visit visit)
      : MCStreamer(context), begin_(begin), visit_(visit) {}
  InstructionMap take() { return std::move(instructions_); }

  void emitInstruction(const llvm::MCInst& instruction, const llvm::MCSubtargetInfo& subtarget) override {
    const auto offset = static_cast<std::size_t>(instruction.getLoc().getPointer() - begin_);
    instructions_[offset] = instruction;
    visit_(offset, instruction, subtarget);
  }
  bool emitSymbolAttribute(llvm::MCSymbol*, llvm::MCSymbolAttr) override { return true; }
  void emitCommonSymbol(llvm::MCSymbol*, std::uint64_t, llvm::Align) override {}
  void emitZerofill(llvm::MCSection*, llvm::MCSymbol*, std::uint64_t, llvm::Align, llvm::SMLoc) override {}

 private:
  const char* begin_;
  Visit visit_;
  InstructionMap instructions_;
};

// Adds up, by resource, for how many cycles instructions hold it.
class PortMeter final : public llvm::mca::HWEventListener {
 public:
  using HWEventListener::onEvent;
  void onEvent(const llvm::mca::HWInstructionEvent& event) override {
    if (event.Type != llvm::mca::HWInstructionEvent::Issued) return;
    for (const auto& [resource, cycles] : static_cast<const llvm::mca::HWInstructionIssuedEvent&>(event).UsedResources) {
      busy[resource] += cycles;
    }
  }
  std::map<llvm::mca::ResourceRef, double> busy;
};

class MachineModel {
 public:
  MachineModel(const llvm::TargetMachine& machine, const plan::Target& target) : machine_(machine) {
    const codegen::TargetNames names = codegen::target_names(target);
    processor_ = target.tuning.empty() ? names.cpu : target.tuning;
    subtarget_.reset(machine.getTarget().createMCSubtargetInfo(machine.getTargetTriple(), processor_, names.features));
    instructions_.reset(machine.getTarget().createMCInstrInfo());
    analysis_.reset(machine.getTarget().createMCInstrAnalysis(instructions_.get()));
  }

  const std::string& processor() const { return processor_; }
  bool simulates() const {
    const llvm::MCSchedModel& model = subtarget_->getSchedModel();
    return model.hasInstrSchedModel() && model.isOutOfOrder();
  }

  std::int32_t issue_width() const { return static_cast<std::int32_t>(subtarget_->getSchedModel().IssueWidth); }

  InstructionMap assemble(
      llvm::StringRef text, Visit visit = [](std::size_t, const llvm::MCInst&, const llvm::MCSubtargetInfo&) {}) const {
    llvm::SourceMgr source;
    source.AddNewSourceBuffer(llvm::MemoryBuffer::getMemBuffer(text, "kernel", false), llvm::SMLoc());
    llvm::MCContext context(machine_.getTargetTriple(), machine_.getMCAsmInfo(), &registers(), subtarget_.get(), &source);
    const std::unique_ptr<llvm::MCObjectFileInfo> sections(machine_.getTarget().createMCObjectFileInfo(context, /*PIC=*/true));
    context.setObjectFileInfo(sections.get());
    InstructionCollector collector(context, text.begin(), visit);
    const std::unique_ptr<llvm::MCAsmParser> parser(
        llvm::createMCAsmParser(source, context, collector, *machine_.getMCAsmInfo()));
    const llvm::MCTargetOptions options;
    const std::unique_ptr<llvm::MCTargetAsmParser> of_target(
        machine_.getTarget().createMCAsmParser(*subtarget_, *parser, *instructions_, options));
    parser->setTargetParser(*of_target);
    parser->Run(/*NoInitialTextSection=*/false);
    return collector.take();
  }

  // Operands in the order of Intel's manuals.
  std::unique_ptr<llvm::MCInstPrinter> intel_printer() const {
    constexpr unsigned kIntel = 1;
    return std::unique_ptr<llvm::MCInstPrinter>(machine_.getTarget().createMCInstPrinter(
        machine_.getTargetTriple(), kIntel, *machine_.getMCAsmInfo(), *instructions_, registers()));
  }

  std::optional<plan::BlockCost> cost_of(llvm::ArrayRef<llvm::MCInst> block) const {
    llvm::mca::InstrumentManager instruments(*subtarget_, *instructions_);
    llvm::mca::InstrBuilder builder(*subtarget_, *instructions_, registers(), analysis_.get(), instruments, 100);
    std::vector<std::unique_ptr<llvm::mca::Instruction>> lowered;
    for (const llvm::MCInst& instruction : block) {
      if (instructions_->get(instruction.getOpcode()).isReturn()) continue;  // ends the kernel; the simulator would warn
      auto made = builder.createInstruction(instruction, {});
      if (made) {
        lowered.push_back(std::move(*made));
      } else {
        llvm::consumeError(made.takeError());  // a directive-like instruction without a cost
      }
    }
    if (lowered.empty()) return plan::BlockCost{};
    // What it takes to fill the pipeline cancels out.
    const auto size = static_cast<unsigned>(lowered.size());
    const unsigned few = std::max(5U, 120 / size), many = few + std::max(15U, 300 / size);
    PortMeter while_filling, ports;
    const auto first = simulate(lowered, few, while_filling), second = simulate(lowered, many, ports);
    if (!first || !second) return std::nullopt;
    plan::BlockCost cost{.cycles = static_cast<double>(*second - *first) / (many - few), .ports = {}};
    for (const auto& instruction : lowered) cost.micro_ops += instruction->getDesc().NumMicroOps;
    add_ports(cost, ports, many);
    return cost;
  }

 private:
  const llvm::MCRegisterInfo& registers() const { return *machine_.getMCRegisterInfo(); }

  std::optional<unsigned> simulate(llvm::ArrayRef<std::unique_ptr<llvm::mca::Instruction>> block, unsigned passes,
                                   PortMeter& meter) const {
    llvm::mca::CircularSourceMgr source(block, passes);
    llvm::mca::CustomBehaviour behaviour(*subtarget_, source, *instructions_);
    llvm::mca::Context context(registers(), *subtarget_);
    const llvm::mca::PipelineOptions options(0, 0, 0, 0, 0, 0, /*NoAlias=*/true);
    auto pipeline = context.createDefaultPipeline(options, source, behaviour);
    pipeline->addEventListener(&meter);
    llvm::Expected<unsigned> cycles = pipeline->run();
    if (cycles) return *cycles;
    llvm::consumeError(cycles.takeError());
    return std::nullopt;
  }

  void add_ports(plan::BlockCost& cost, const PortMeter& meter, unsigned passes) const {
    for (const auto& [resource, busy] : meter.busy) {
      const auto& port = *subtarget_->getSchedModel().getProcResource(static_cast<unsigned>(resource.first));
      std::string name = port.Name;
      if (port.NumUnits > 1) name += "." + std::to_string(llvm::countr_zero(resource.second));
      cost.ports.emplace_back(std::move(name), busy / passes);
    }
    std::ranges::sort(
        cost.ports, [](const auto& a, const auto& b) { return std::pair(-a.second, a.first) < std::pair(-b.second, b.first); });
  }

  const llvm::TargetMachine& machine_;
  std::string processor_;
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget_;
  std::unique_ptr<llvm::MCInstrInfo> instructions_;
  std::unique_ptr<llvm::MCInstrAnalysis> analysis_;
};

// Sixteen independent multiply-adds, as kernels of this key are made of.
std::string multiply_adds(const plan::Target& target, plan::Arithmetic arithmetic) {
  const bool is_double = plan::facts_of(arithmetic).real_bytes == 8;
  const char* suffix = is_double ? "pd" : "ps";
  const auto line = [&](int i) -> std::string {
    switch (target.isa) {
      case plan::Isa::kX86_64:
      case plan::Isa::kX86_64_V2:
        return llvm::formatv(i % 2 == 0 ? "mul{0} %xmm0, %xmm{1}" : "add{0} %xmm0, %xmm{1}", suffix, 1 + i % 15);
      case plan::Isa::kX86_64_V3: return llvm::formatv("vfmadd231{0} %ymm0, %ymm0, %ymm{1}", suffix, 1 + i % 15);
      case plan::Isa::kX86_64_V4:
        if (arithmetic == plan::Arithmetic::kBF16) return llvm::formatv("vdpbf16ps %zmm0, %zmm0, %zmm{0}", 1 + i);
        return llvm::formatv("vfmadd231{0} %zmm0, %zmm0, %zmm{1}", suffix, 1 + i);
      case plan::Isa::kAArch64: return llvm::formatv("fmla v{0}.{1}, v0.{1}, v0.{1}", 1 + i, is_double ? "2d" : "4s");
    }
    return {};
  };
  std::string text;
  for (int i = 0; i < 16; ++i) text += line(i) + "\n";
  return text;
}

// Lanes of multiply-adds a cycle; a pair of multiplication and addition counts as one, one of two bf16 as two.
double peak_of(const MachineModel& model, const plan::KernelKey& key) {
  const plan::Arithmetic arithmetic = plan::arithmetic_of(key);
  std::vector<llvm::MCInst> block;
  for (auto& [offset, instruction] : model.assemble(multiply_adds(key.target, arithmetic))) block.push_back(instruction);
  const auto cost = model.cost_of(block);
  if (!cost || cost->cycles <= 0) return 0;
  const double lanes = plan::lanes_of(key.target.isa, arithmetic);
  const double each = plan::facts_of(arithmetic).elements_of_cell * (plan::has(key.target.isa, plan::kFma) ? 1 : 0.5);
  return static_cast<double>(block.size()) * lanes * each / cost->cycles;
}

// LLVM's models of AMD processors charge a broadcast from memory to the vector ports; the load units do it. Every such
// instruction becomes a plain load of the same length.
std::string with_plain_broadcasts(llvm::StringRef text) {
  std::string result = text.str();
  constexpr llvm::StringLiteral kBroadcasts[] = {"vbroadcastss\t", "vbroadcastsd\t", "vpbroadcastd\t"};
  for (llvm::StringRef broadcast : kBroadcasts) {
    for (std::size_t at = result.find(broadcast); at != std::string::npos; at = result.find(broadcast, at + 1)) {
      const std::string operand = result.substr(at + broadcast.size(), result.find('\n', at) - at - broadcast.size());
      const bool from_memory = operand.find('(') < operand.find(')') && operand.find('{') == std::string::npos;
      if (from_memory) result.replace(at, broadcast.size(), llvm::StringRef("vmovups      ").take_front(broadcast.size()));
    }
  }
  return result;
}

}  // namespace

void add_costs(plan::CodeListing& listing, const InstructionOffsets& offsets, llvm::StringRef text,
               const llvm::TargetMachine& machine, const plan::KernelKey& key) {
  const MachineModel model(machine, key.target);
  if (!model.simulates()) return;
  listing.processor = model.processor();
  listing.issue_width = model.issue_width();
  listing.peak_multiply_adds = peak_of(model, key);
  const InstructionMap instructions = model.assemble(with_plain_broadcasts(text));
  for (std::size_t f = 0; f < listing.functions.size(); ++f) {
    for (std::size_t b = 0; b < listing.functions[f].blocks.size(); ++b) {
      std::vector<llvm::MCInst> block;
      for (std::size_t offset : offsets[f][b]) {
        if (const auto found = instructions.find(offset); found != instructions.end()) block.push_back(found->second);
      }
      listing.functions[f].blocks[b].cost = model.cost_of(block);
    }
  }
}

void add_intel_syntax(plan::CodeListing& listing, const InstructionOffsets& offsets, llvm::StringRef text,
                      const llvm::TargetMachine& machine, const plan::KernelKey& key) {
  if (!machine.getTargetTriple().isX86()) return;
  const MachineModel model(machine, key.target);
  const std::unique_ptr<llvm::MCInstPrinter> printer = model.intel_printer();
  std::map<std::size_t, std::string> texts;
  model.assemble(text, [&](std::size_t offset, const llvm::MCInst& instruction, const llvm::MCSubtargetInfo& subtarget) {
    llvm::raw_string_ostream out(texts[offset]);
    printer->printInst(&instruction, 0, "", subtarget, out);
  });
  for (std::size_t f = 0; f < listing.functions.size(); ++f) {
    for (std::size_t b = 0; b < listing.functions[f].blocks.size(); ++b) {
      for (std::size_t i = 0; i < offsets[f][b].size(); ++i) {
        std::string intel = texts[offsets[f][b][i]];
        std::ranges::replace(intel, '\t', ' ');
        listing.functions[f].blocks[b].instructions[i].intel = llvm::StringRef(intel).trim().str();
      }
    }
  }
}

}  // namespace flexjit::jit
