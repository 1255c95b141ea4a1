// The mask of one call -> how many of its blocks are full, partial or empty, how that was found, and a picture of its first
// plane. Exact, as `flexjit mask`, which has more pictures.
#include "mask/derive/classify.h"

#include <fmt/format.h>

#include "study/views/view.h"

namespace flexjit::study {
namespace {

constexpr std::int32_t kPictureSide = 48;  // characters

Json lines_json(std::string_view text) {
  Json lines = Json::array();
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

Json shape_json(const BlockMaskShape& shape) {
  return {{"batch", shape.batch},   {"heads", shape.heads},     {"q_len", shape.q_len},
          {"kv_len", shape.kv_len}, {"q_block", shape.q_block}, {"kv_block", shape.kv_block}};
}

}  // namespace

Result<ViewResult> make_mask_view(const Subject& subject) {
  const mask::ClassifyRequest request{.shape = subject.values.blocks};
  const mask::Classified found = mask::classify(subject.forward, subject.values.environment, request);
  if (found.fault) return subject.describe_fault(*found.fault);
  const BlockMask& mask = *found.mask;
  const BlockMaskShape& shape = mask.shape();
  const BlockCounts counts = mask.counts();
  const std::int64_t by_intervals = counts.full + counts.partial + counts.empty - found.evaluated;
  const std::string picture = mask.to_string(0, 0, kPictureSide);
  ViewResult view;
  view.text = fmt::format("{} x {} pairs in blocks of {} x {}, {} plane{}\n", shape.q_len, shape.kv_len, shape.q_block,
                          shape.kv_block, std::int64_t{shape.batch} * shape.heads, shape.batch * shape.heads == 1 ? "" : "s");
  view.text += fmt::format("full {}, partial {}, empty {} ({:.1f} % empty)\n", counts.full, counts.partial, counts.empty,
                           mask.sparsity());
  view.text += fmt::format("by intervals alone {}, by evaluating elements {}; {} bytes\n\n", by_intervals, found.evaluated,
                           mask.bytes());
  view.text += "# full, + partial or mixed, blank empty\n" + picture;
  view.json = {{"shape", shape_json(shape)},   {"full", counts.full},         {"partial", counts.partial},
               {"empty", counts.empty},        {"sparsity", mask.sparsity()}, {"by_intervals", by_intervals},
               {"evaluated", found.evaluated}, {"bytes", mask.bytes()},       {"picture", lines_json(picture)}};
  return view;
}

}  // namespace flexjit::study
