// A lowered pattern of a whole sequence -> that of a part of it: positions, lengths and heads become what a call binds.
#pragma once

#include <memory>

#include "diagnostics/report.h"
#include "flexjit/engine_options.h"
#include "flexjit/spec.h"
#include "ir/program/interface.h"
#include "pattern/pattern.h"

namespace flexjit::engine {

// See flexjit/shards.h. Reports names that the text declares too; the result is then `whole`.
ir::Lowered as_shard(ir::Lowered whole, Report& report);

// prepare_pattern() of that.
Result<std::shared_ptr<const Pattern>> prepare_shard_pattern(const AttentionSpec& spec, const EngineOptions& options);

}  // namespace flexjit::engine
