// Field offsets of kernel_abi.h -> loads in the entry block, where they dominate every use.
#include "codegen/emit/launch_fields.h"

#include <cstddef>
#include <limits>

#include "plan/kernel_abi.h"

namespace flexjit::codegen {

using plan::BufferArg;
using plan::LaunchArg;

Float load_f64(Emitter& e, Ptr address, const char* name) {
  return e.to_real(Float{e.ir().CreateAlignedLoad(e.ir().getDoubleTy(), address.value, llvm::Align(8), name)});
}

Float load_scale(Emitter& e, Ptr launch) { return load_f64(e, e.at_byte(launch, offsetof(LaunchArg, scale)), "scale"); }

KeyRows load_key_run(Emitter& e, Ptr run) {
  const ArgFields fields{e, run};
  return {{fields.pointer(offsetof(plan::KeyRun, k)), fields.long_index(offsetof(plan::KeyRun, k_stride))},
          {fields.pointer(offsetof(plan::KeyRun, v)), fields.long_index(offsetof(plan::KeyRun, v_stride))}};
}

RowScales load_scales(Emitter& e, Ptr arg, std::size_t offset) {
  const ArgFields fields{e, arg};
  return {e, fields.pointer(offset + offsetof(plan::ScaleRun, first), "scales"),
          fields.long_index(offset + offsetof(plan::ScaleRun, by_key), "scales.by_key"),
          fields.long_index(offset + offsetof(plan::ScaleRun, by_group), "scales.by_group")};
}

Bool emit_lse_f64(Emitter& e, Ptr launch) {
  if (e.arithmetic() != plan::Arithmetic::kF64) return {};
  const Int flag = ArgFields{e, launch}.integer(offsetof(LaunchArg, lse_f64), "lse_f64");
  return e.compare(llvm::CmpInst::ICMP_NE, flag, e.constant_int(0));
}

LaunchFields load_launch(Emitter& e, Ptr arg, SequenceFields of) {
  const ArgFields item{e, arg};
  const Ptr launch = item.pointer(0, "launch");
  const ArgFields fields{e, launch};
  return {.launch = launch,
          .batch_size = fields.integer(offsetof(LaunchArg, batch_size), "batch_size"),
          .num_heads = fields.integer(offsetof(LaunchArg, num_heads), "num_heads"),
          .num_kv_heads = fields.integer(offsetof(LaunchArg, num_kv_heads), "num_kv_heads"),
          .q_len = item.integer(of.q_len, "q_len"),
          .kv_len = item.integer(of.kv_len, "kv_len"),
          .q_offset = item.integer(of.q_offset, "q_offset"),
          .kv_offset = item.integer(of.kv_offset, "kv_offset"),
          .scale = load_scale(e, launch)};
}

std::vector<BufferFields> load_buffers(Emitter& e, Ptr launch, const ir::Program& program) {
  std::vector<BufferFields> fields;
  const auto buffers = program.buffers();
  if (buffers.empty()) return fields;
  const Ptr table = e.load_pointer(e.at_byte(launch, offsetof(LaunchArg, buffers)), "buffers");
  for (std::size_t slot = 0; slot < buffers.size(); ++slot) {
    const Ptr buffer = e.at_byte(table, static_cast<std::int64_t>(slot * sizeof(BufferArg)));
    BufferFields& out = fields.emplace_back();
    out.data = e.load_pointer(buffer);
    for (int d = 0; d < buffers[slot].rank; ++d) {
      const auto at = static_cast<std::int64_t>(8 * d);
      const Index extent = e.load_index(e.at_byte(buffer, static_cast<std::int64_t>(offsetof(BufferArg, extents)) + at));
      out.extents.push_back(e.narrow(e.min(extent, e.index(std::numeric_limits<std::int32_t>::max()))));
      out.strides.push_back(e.load_index(e.at_byte(buffer, static_cast<std::int64_t>(offsetof(BufferArg, strides)) + at)));
    }
    out.unit_stride = e.equal(out.strides.back(), e.index(1));
  }
  return fields;
}

llvm::Value* load_param(Emitter& e, Ptr launch, std::uint32_t slot, ir::Type type) {
  const Ptr params = e.load_pointer(e.at_byte(launch, offsetof(LaunchArg, params)));
  const Ptr param = e.at_byte(params, static_cast<std::int64_t>(slot) * 8);
  switch (type) {
    case ir::Type::kInt: return e.load_int(param).value;
    case ir::Type::kFloat: return load_f64(e, param).value;
    case ir::Type::kBool: return e.compare(llvm::CmpInst::ICMP_NE, e.load_int(param), e.constant_int(0)).value;
    case ir::Type::kLong: break;  // no param has it
  }
  return nullptr;
}

}  // namespace flexjit::codegen
