// Tables of names as FlexAttention, FlashAttention, FlashInfer, xformers, MLX, NumPy and CUDA use them, without case and
// underscores.
#include "dsl/findings/foreign_names.h"

#include <algorithm>
#include <cctype>
#include <span>

namespace flexjit::dsl {
namespace {

struct Foreign {
  std::string_view ours;
  std::string_view theirs;  // separated by blanks
};

constexpr Foreign kValues[] = {
    {"the query head is `h`",
     "head headidx headid headindex hidx hi qhead qheadidx qheadid qheadindex qohead qoheadidx queryhead queryheadidx hq headq "
     "offh attnhead"},
    {"the key/value head is `kv_head`",
     "kvheadidx kvheadid kvheadindex kvh hkv headkv khead kheadidx headk vhead vheadidx keyhead keyheadidx hk "
     "group groupid groupidx groupindex gqagroup gqagroupid"},
    {"the sequence is number `b` of the batch", "batch batchidx batchid batchindex batchno bidx bi offb requestidx sampleidx"},
    {"the query position is `q_idx`",
     "qpos qoidx qopos qposition qindex qi qid qrow qtokenidx queryidx queryid querypos queryposition queryindex qoffset "
     "tgtidx "
     "midx m row rowidx rowindex offsm offsq i"},
    {"the key position is `kv_idx`",
     "kidx kpos kposition kindex kj kid kcol ktokenidx kvpos kvposition kvindex kvid kvoffset keyidx keyid keypos keyposition "
     "keyindex koffset srcidx nidx n col colidx colindex column offsn offsk j"},
    {"the number of queries is `q_len`",
     "seqlenq qseqlen qlength qsize qseq seqq querylen querylength numqueries numq nqueries nq lenq lq tq qolen qolength "
     "maxseqlenq maxqlen tgtlen qtokens"},
    {"the number of keys is `kv_len`",
     "seqlenk seqlenkv kseqlen kvseqlen klen klength kvlength kvsize kvseq seqk seqkv keylen keylength numkeys numkv nkeys nk "
     "lenk lenkv lk lkv tk maxseqlenk maxseqlenkv maxkvlen srclen cachelen contextlen ctxlen totallen"},
    {"the numbers of queries and keys are `q_len` and `kv_len`",
     "seqlen seqlength sequencelength sequencelen maxseqlen length len"},
    {"the number of query heads is `num_heads`",
     "numqheads numqoheads numqueryheads numattentionheads numattnheads numheadsq nheads nhead nheadsq nqheads nqh heads "
     "headsq headnum headnums qheadnum "
     "qheads qoheads queryheads headcount"},
    {"the number of key/value heads is `num_kv_heads`",
     "numkheads numkeyheads numkeyvalueheads numheadsk numheadskv nheadsk nheadskv nkvheads nkvh kheads kvheads headsk "
     "headskv kvheadnum"},
    {"no name stands for the dimension of a head; write the number",
     "headdim headdims dimhead dimheads dimperhead headsize sizeperhead dhead dheads hdim vheaddim headdimv headdimk headdimqk "
     "dqk dk dv d"},
    {"the number of sequences is `batch_size`", "bsz bs nbatch nbatches batches numbatch numbatches numseqs numsequences"},
    {"a group of query heads is as large as `num_heads // num_kv_heads`",
     "groupsize gqagroupsize numkeyvaluegroups numkvgroups gqagroups nrep qheadsperkvhead"},
    {"the scaled score is `score`",
     "scores logit logits attnscore attnscores attentionscore attentionscores attnweight attnweights attnlogits qk qkt dots "
     "sim s"},
    {"`score` is scaled already, by the scale of the call", "scale smscale softmaxscale attnscale scaling scalefactor"},
    {"minus infinity is `-inf`", "neginf neginfinity minusinf ninf"},
    {"infinity is `inf`", "infinity infty posinf"},
    {"NaN is `0.0 / 0.0`", "nan"},
};

constexpr Foreign kForeignFunctions[] = {
    {"write `max(a, b)`", "maximum fmax fmaxf"},
    {"write `min(a, b)`", "minimum fmin fminf"},
    {"write `abs(x)`", "absolute fabs fabsf"},
    {"write `clamp(x, lo, hi)`", "clip"},
    {"write `where(c, x, y)` or `c ? x : y`", "select cond ifelse iff"},
    {"write `exp(x)`", "expf"},
    {"write `exp2(x)`", "exp2f"},
    {"write `log(x)`", "ln logf"},
    {"write `log2(x)`", "log2f"},
    {"write `log1p(x)`", "log1pf"},
    {"write `log(x) / log(10.0)`", "log10 log10f"},
    {"write `exp(x) - 1.0`", "expm1 expm1f"},
    {"write `tanh(x)`", "tanhf tanhapprox fasttanh"},
    {"write `sqrt(x)`", "sqrtf"},
    {"write `rsqrt(x)`", "rsqrtf invsqrt"},
    {"write `pow(a, b)`", "power powf powi"},
    {"write `x * x`", "square sqr"},
    {"write `floor(x)`", "floorf"},
    {"write `ceil(x)`", "ceilf"},
    {"write `round(x)`", "roundf rint rintf nearbyint nearbyintf"},
    {"write `float(int(x))`", "trunc truncf"},
    {"write `sin(x)`", "sinf"},
    {"write `cos(x)`", "cosf"},
    {"write `erf(x)`", "erff"},
    {"write `1.0 - erf(x)`", "erfc erfcf"},
    {"write `x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : 0.0`", "sign signum sgn"},
    {"write `x < 0.0`", "signbit"},
    {"write `abs(x) * (y < 0.0 ? -1.0 : 1.0)`", "copysign copysignf"},
    {"write `sin(x) / cos(x)`", "tan tanf"},
    {"write `(exp(x) - exp(-x)) / 2.0`", "sinh sinhf"},
    {"write `(exp(x) + exp(-x)) / 2.0`", "cosh coshf"},
    {"no function is the inverse of one of the circle or the hyperbola",
     "asin acos atan atan2 arcsin arccos arctan arctan2 asinh acosh atanh arcsinh arccosh arctanh asinf acosf atanf atan2f"},
    {"write `pow(x, 1.0 / 3.0)`, for x that is not negative", "cbrt cbrtf"},
    {"write `pow(10.0, x)`", "exp10 exp10f"},
    {"write `max(x, 0.0) + log1p(exp(-abs(x)))`", "softplus"},
    {"write `sigmoid(x)`", "expit logistic"},
    {"write `silu(x)`", "swish"},
    {"write `int(x)`", "int32 i32 toint asint"},
    {"write `int64(x)`", "i64 long tolong aslong"},
    {"write `float(x)`", "float32 float64 f32 f64 double tofloat asfloat"},
    {"write `a && b`", "logicaland andmasks"},
    {"write `a || b`", "logicalor ormasks"},
    {"write `!a`", "logicalnot notmask"},
    {"write `a & b`", "bitwiseand"},
    {"write `a | b`", "bitwiseor"},
    {"write `a ^ b`", "bitwisexor"},
    {"write `~a`", "bitwisenot invert"},
    {"write `a << b`", "leftshift bitwiseleftshift shl"},
    {"write `a >> b`", "rightshift bitwiserightshift shr"},
    {"write `a // b`", "floordivide floordiv idiv intdiv"},
    {"write `(a + b - 1) // b`", "cdiv ceildiv divup"},
    {"write `a % b`", "mod fmod fmodf remainder"},
    {"write `x in {a, b}`", "isin contains"},
    {"write `any(n in 0..count : ...)`", "any exists"},
    {"write `all(n in 0..count : ...)`", "all forall every"},
    {"write `sum(n in 0..count : ...)`", "sum reduce"},
};

constexpr Foreign kResults[] = {
    {"a mask is set by `mask = ...`",
     "maskmod maskfn attnmask attentionmask boolmask blockmask custommask logitsmask keepmask keep allow allowed isallowed "
     "visible isvisible"},
    {"a score is set by `score = ...`",
     "scoremod scorefn scores logit logits logitstransform attnscore attnscores attentionscores attnweights s"},
    {"a result is set by `score = ...` or `mask = ...`", "return yield result output out"},
};

std::string folded(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c != '_') result += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return result;
}

bool lists(std::string_view words, std::string_view word) {
  for (std::size_t begin = 0; begin < words.size();) {
    const std::size_t end = std::min(words.find(' ', begin), words.size());
    if (words.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

std::string hint_in(std::span<const Foreign> table, std::string_view name) {
  const std::string word = folded(name);
  const auto found = std::ranges::find_if(table, [&](const Foreign& foreign) { return lists(foreign.theirs, word); });
  return found == table.end() ? "" : "; " + std::string(found->ours);
}

}  // namespace

std::string foreign_value_hint(std::string_view name) {
  const std::string hint = hint_in(kValues, name);
  return hint.empty() ? foreign_result_hint(name) : hint;
}

std::string foreign_function_hint(std::string_view name) { return hint_in(kForeignFunctions, name); }

std::string foreign_result_hint(std::string_view name) { return hint_in(kResults, name); }

}  // namespace flexjit::dsl
