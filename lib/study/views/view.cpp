// View -> the function that makes it, and the public list of all.
#include "study/views/view.h"

namespace flexjit {

namespace study {

Result<ViewResult> make_view(InspectView view, const Subject& subject) {
  switch (view) {
#define FLEXJIT_VIEW(view, name, description) \
  case InspectView::view: return make_##name##_view(subject);
#include "flexjit/inspect_views.def"
#undef FLEXJIT_VIEW
  }
  return ViewResult{};
}

}  // namespace study

std::span<const InspectViewInfo> inspect_views() noexcept {
  static constexpr InspectViewInfo kViews[] = {
#define FLEXJIT_VIEW(view, name, description) {InspectView::view, #name, description},
#include "flexjit/inspect_views.def"
#undef FLEXJIT_VIEW
  };
  return kViews;
}

}  // namespace flexjit
