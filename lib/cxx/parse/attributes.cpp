// [[flexjit::extents("num_heads, ?")]] of a parameter -> an annotation that the tree keeps, as Clang forgets attributes that it
// does not know.
#include <clang/AST/Attr.h>
#include <clang/Basic/ParsedAttrInfo.h>
#include <clang/Sema/ParsedAttr.h>
#include <clang/Sema/Sema.h>

namespace flexjit::cxx {
namespace {

struct ExtentsAttribute : clang::ParsedAttrInfo {
  ExtentsAttribute() {
    // The parser asks for the second one before it reads arguments, the analysis for the first.
    static constexpr Spelling kSpellings[] = {{clang::ParsedAttr::AS_CXX11, "flexjit::extents"},
                                              {clang::ParsedAttr::AS_CXX11, "extents"}};
    Spellings = kSpellings;
    NumArgs = 1;
  }

  AttrHandling handleDeclAttribute(clang::Sema& sema, clang::Decl* declaration,
                                   const clang::ParsedAttr& attribute) const override {
    llvm::StringRef extents;
    if (!sema.checkStringLiteralArgumentAttr(attribute, 0, extents)) return AttributeNotApplied;
    declaration->addAttr(
        clang::AnnotateAttr::Create(sema.Context, ("flexjit::extents:" + extents).str(), nullptr, 0, attribute.getRange()));
    return AttributeApplied;
  }
};

const clang::ParsedAttrInfoRegistry::Add<ExtentsAttribute> kRegistered("flexjit::extents", "the extents of a captured array");

}  // namespace
}  // namespace flexjit::cxx
