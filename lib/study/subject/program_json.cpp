// One object a node, in the order of the program, so that an id is an index.
#include "study/subject/program_json.h"

#include <cmath>

namespace flexjit::study {
namespace {

Json ids_json(std::span<const ir::Id> ids) {
  Json json = Json::array();
  for (ir::Id id : ids) json.push_back(id.index);
  return json;
}

Json root_json(ir::Id root) { return root.valid() ? Json(root.index) : Json(); }

Json const_json(const ir::Program& program, ir::Id id) {
  switch (program.node(id).type) {
    case ir::Type::kInt: return program.const_int(id);
    case ir::Type::kFloat: return number_json(program.const_float(id));
    case ir::Type::kBool: return program.const_bool(id);
    case ir::Type::kLong: return program.const_long(id);
  }
  return {};
}

struct Access {
  std::vector<std::uint32_t> buffers;
  std::uint32_t site;
  bool checked;
};

void add_access(Json& json, const ir::Interface& interface, const Access& access, std::span<const ir::Id> indices) {
  for (std::uint32_t buffer : access.buffers) json["buffers"].push_back(interface.buffers[buffer].name);
  json["indices"] = ids_json(indices);
  json["checked"] = access.checked;
  if (!access.checked) return;  // a proved read needs no place, and has none
  const ir::ReadSite& site = interface.sites[access.site];
  json["place"] = {{"source", site.source_name}, {"line", site.line}, {"column", site.column}, {"length", site.length}};
}

Json scalar_json(const Scalar& scalar) {
  if (const auto* value = std::get_if<double>(&scalar)) return number_json(*value);
  if (const auto* value = std::get_if<bool>(&scalar)) return *value;
  return std::get<std::int32_t>(scalar);
}

}  // namespace

Json number_json(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

std::string extent_text(const ir::Extent& extent, const ir::Interface& interface) {
  switch (extent.kind) {
    case ir::Extent::Kind::kAny: return "?";
    case ir::Extent::Kind::kLiteral: return std::to_string(extent.literal);
    case ir::Extent::Kind::kBuiltin: return std::string(ir::mnemonic(extent.builtin));
    case ir::Extent::Kind::kParam: return interface.params[extent.param].name;
  }
  return "";
}

Json node_json(const ir::Program& program, const ir::Interface& interface, ir::Id id) {
  const ir::Node& node = program.node(id);
  const auto operands = program.operands(id);
  Json json = {
      {"id", id.index}, {"op", ir::mnemonic(node.op)}, {"type", ir::name_of(node.type)}, {"operands", ids_json(operands)}};
  if (node.op == ir::Op::kConst) json["value"] = const_json(program, id);
  if (node.op == ir::Op::kParam) json["param"] = interface.params[node.payload].name;
  if (ir::type_rule(node.op) != ir::TypeRule::kVariadic) return json;
  json["guard"] = operands[0].index;
  if (ir::accumulates(node.op)) json["added"] = operands[1].index;
  if (node.op == ir::Op::kRead || node.op == ir::Op::kAccumulate) {
    const ir::ReadInfo& info = program.read(id);
    add_access(json, interface, {{info.buffer}, info.site, info.checked}, program.indices(id));
  } else {
    const ir::DotInfo& info = program.dot(id);
    add_access(json, interface, {{info.buffer_a, info.buffer_b}, info.site, info.checked}, program.indices(id));
    json["extent"] = info.extent;
  }
  return json;
}

Json program_json(const ir::Program& program, const ir::Interface& interface) {
  Json buffers = Json::array(), params = Json::array(), nodes = Json::array();
  for (const ir::BufferInterface& buffer : interface.buffers) {
    Json extents = Json::array();
    for (const ir::Extent& extent : buffer.extents) extents.push_back(extent_text(extent, interface));
    buffers.push_back({{"name", buffer.name}, {"dtype", flexjit::name_of(buffer.dtype)}, {"extents", std::move(extents)}});
  }
  for (std::size_t slot = 0; slot < interface.params.size(); ++slot) {
    const ir::ParamInterface& param = interface.params[slot];
    params.push_back({{"name", param.name},
                      {"type", ir::name_of(program.params()[slot])},
                      {"default", param.has_default ? scalar_json(param.default_value) : Json()}});
  }
  for (std::uint32_t i = 0; i < program.size(); ++i) nodes.push_back(node_json(program, interface, ir::Id{i}));
  Json json = {{"buffers", std::move(buffers)}, {"params", std::move(params)}, {"nodes", std::move(nodes)}};
  for (const ir::RootFacts& facts : ir::kRoots) json[std::string(facts.name)] = root_json(program.roots()[facts.root]);
  json["accumulations"] = ids_json(program.accumulations());
  return json;
}

}  // namespace flexjit::study
