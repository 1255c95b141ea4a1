// Views that the scripts draw go in as JSON, the others as text. The machine code is most of it: instructions of one origin
// become one group, and an origin is written once.
#include "report_html/data.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace flexjit::tools {
namespace {

using Json = nlohmann::ordered_json;

enum class Form : std::uint8_t { kDrawn, kText, kBoth };

Form form_of(InspectView view) {
  switch (view) {
    case InspectView::kSource:
    case InspectView::kMask:
    case InspectView::kAsm:
    case InspectView::kMca:
    case InspectView::kRoofline:
    case InspectView::kSpills:
    case InspectView::kTiming: return Form::kDrawn;
    case InspectView::kPlan: return Form::kBoth;
    case InspectView::kTokens:
    case InspectView::kAst:
    case InspectView::kIr:
    case InspectView::kSimplified:
    case InspectView::kGradient:
    case InspectView::kIntervals:
    case InspectView::kHoisting:
    case InspectView::kAccess:
    case InspectView::kNest:
    case InspectView::kLlvm: return Form::kText;
  }
  return Form::kText;
}

// {"functions": [{"name", "blocks": [{..., "groups": [{"origin", "spill", "inferred", "lines"}]}]}], "origins": [...], ...}.
class GroupedCode {
 public:
  static Json of(Json view) {
    GroupedCode code;
    for (Json& function : view["functions"])
      for (Json& block : function["blocks"]) code.group(block);
    view["origins"] = std::move(code.origins_);
    return view;
  }

 private:
  void group(Json& block) {
    Json groups = Json::array();
    for (const Json& line : block["instructions"]) {
      const Json head{{"origin", origin_of(line)}, {"spill", line["spill"]}, {"inferred", line["inferred"]}};
      const bool goes_on = !groups.empty() && std::ranges::all_of(head.items(), [&](const auto& member) {
        return groups.back()[member.key()] == member.value();
      });
      if (!goes_on) {
        groups.push_back(head);
        groups.back()["lines"] = Json::array();
      }
      groups.back()["lines"].push_back(line["text"]);
    }
    block.erase("instructions");
    block["groups"] = std::move(groups);
    if (block["cost"].is_object()) block["cost"].erase("ports");  // the view of the model has them
  }

  std::size_t origin_of(const Json& line) {
    Json origin{{"part", line["part"]}, {"node", line["node"]}, {"expression", line["expression"]}};
    const auto [found, is_new] = numbers_.try_emplace(origin.dump(), origins_.size());
    if (is_new) origins_.push_back(std::move(origin));
    return found->second;
  }

  std::map<std::string, std::size_t> numbers_;
  Json origins_ = Json::array();
};

Json drawn(const Inspection& view) {
  Json json = Json::parse(view.json);
  return view.view == InspectView::kAsm ? GroupedCode::of(std::move(json)) : json;
}

Json page_sizes(const Sizes& s) {
  return {{"batch", s.batch},   {"heads", s.heads},       {"kv_heads", s.kv_heads},    {"q_len", s.q_len},
          {"kv_len", s.kv_len}, {"head_dim", s.head_dim}, {"v_head_dim", s.v_head_dim}};
}

}  // namespace

std::string report_data(const ReportPage& page) {
  Json data{{"pattern", page.pattern},
            {"sizes", page_sizes(page.sizes)},
            {"mask_svg", page.mask_svg},
            {"views", Json::object()},
            {"texts", Json::array()}};
  for (const Inspection& view : page.views) {
    const auto info = std::ranges::find(inspect_views(), view.view, &InspectViewInfo::view);
    switch (form_of(view.view)) {
      case Form::kDrawn: data["views"][info->name] = drawn(view); break;
      case Form::kBoth: data["views"][info->name] = {{"text", view.text}, {"json", Json::parse(view.json)}}; break;
      case Form::kText:
        data["texts"].push_back({{"name", info->name}, {"description", info->description}, {"text", view.text}});
        break;
    }
  }
  std::string text;
  for (const char c : data.dump(-1, ' ', true, Json::error_handler_t::replace)) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

}  // namespace flexjit::tools
