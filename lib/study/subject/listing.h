// The listing of a subject's machine code, made once for all views that show it, and what these views say of a block.
#pragma once

#include "plan/code_listing.h"
#include "study/subject/json.h"
#include "study/subject/subject.h"

namespace flexjit::study {

// With costs; lives as long as the subject.
Result<const plan::CodeListing*> list_code(const Subject& subject);

// Multiply-adds of products, as Q K and P V, in a pass of the block, lanes counted.
double multiply_adds(const plan::CodeBlock& block, const plan::KernelKey& key);

// What keeps a block from being faster, by its cost: "port Zn4FP0", "4 micro-operations a cycle", "latency".
std::string bottleneck(const plan::BlockCost& cost, std::int32_t issue_width);

// "qk", or the label where the template gave none.
std::string name_of(const plan::CodeBlock& block);

// {"cycles", "micro_ops", "ports", "bottleneck"}, or null.
Json cost_json(const plan::CodeBlock& block, std::int32_t issue_width);

}  // namespace flexjit::study
