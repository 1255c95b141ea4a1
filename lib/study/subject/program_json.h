// A Program as JSON: what the views of the IR share, and what their nodes have in common.
#pragma once

#include "study/subject/json.h"
#include "study/subject/subject.h"

namespace flexjit::study {

// {"id", "op", "type", "operands", ...}: by op also "value", "param", or what is read: "buffers", "guard", "indices",
// "checked", and of a checked read its "place". Floats that JSON cannot say are "inf", "-inf" and "nan".
Json node_json(const ir::Program& program, const ir::Interface& interface, ir::Id id);

// {"buffers", "params", "nodes", "score", "mask"}; a root that does nothing is null.
Json program_json(const ir::Program& program, const ir::Interface& interface);

Json number_json(double value);
// "q_len", "16", "?".
std::string extent_text(const ir::Extent& extent, const ir::Interface& interface);

}  // namespace flexjit::study
