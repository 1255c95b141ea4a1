#include "server.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>

namespace {

constexpr std::int32_t kPieceOfPrompt = 32;  // bytes a step

template <typename T>
T value_or_exit(flexjit::Result<T> result) {
  if (result) return *std::move(result);
  std::fputs(flexjit::render(result.diagnostics()).c_str(), stderr);
  std::exit(1);
}

flexjit::TensorView ints(const std::vector<std::int32_t>& values) {
  return {values.data(), flexjit::DType::kI32, {static_cast<std::int64_t>(values.size())}};
}

flexjit::TensorView heads_of(const Rows& rows, int heads, int dim) {
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / (heads * dim);
  return flexjit::thd(static_cast<const void*>(rows.data()), flexjit::DType::kF32, {count, heads, dim});
}

}  // namespace

Server::Server(const Model& model, std::int32_t pages) : model_(model) {
  const ModelSize& size = model.size;
  flexjit::AttentionSpec spec;
  spec.head_dim = size.head_dim;
  spec.causal = true;
  flexjit::Engine engine;
  attention_ = value_or_exit(engine.compile(spec));
  const auto table = [&](const std::vector<float>& values) {
    return flexjit::TensorView(values.data(), flexjit::DType::kF32, {size.positions, size.head_dim / 2});
  };
  rotary_ = {table(model.cos), table(model.sin), flexjit::RotaryPairing::kHalves};
  for (int layer = 0; layer < size.layers; ++layer) {
    pools_.push_back(value_or_exit(
        flexjit::PagePool::create({.pages = pages, .kv_heads = size.kv_heads, .head_dim = size.head_dim, .page_size = 16})));
  }
}

void Server::submit(std::string name, const std::string& prompt, std::size_t new_bytes) {
  Request& request = running.emplace_back();
  request.name = std::move(name);
  request.bytes.assign(prompt.begin(), prompt.end());
  request.prompt = prompt.size();
  request.wanted = prompt.size() + new_bytes;
  request.pages.resize(pools_.size());
}

void Server::submit_like(const std::string& other, std::string name, const std::string& prompt, std::size_t new_bytes) {
  const auto found = std::ranges::find(running, other, &Request::name);
  if (found == running.end()) return submit(std::move(name), prompt, new_bytes);
  const std::vector<std::uint8_t> read(found->bytes.begin(), found->bytes.begin() + found->done);
  const auto prefix = std::string(read.begin(), read.end());
  submit(std::move(name), prefix + prompt, new_bytes);
  running.back().done = found->done;
  for (std::size_t layer = 0; layer < pools_.size(); ++layer)
    running.back().pages[layer] = value_or_exit(pools_[layer].share(found->pages[layer], found->done));
}

// All layers or none have it: their pools are used alike.
bool Server::make_room(Request& request, std::int32_t bytes) {
  for (std::size_t layer = 0; layer < pools_.size(); ++layer) {
    if (!pools_[layer].make_room(request.pages[layer], request.done, bytes)) return false;
  }
  return true;
}

bool Server::step() {
  std::vector<Request*> batch;
  std::vector<std::uint8_t> bytes;
  for (Request& request : running) {
    const std::int32_t wanted = std::min(static_cast<std::int32_t>(request.bytes.size()) - request.done, kPieceOfPrompt);
    if (!make_room(request, wanted)) continue;  // until others end
    request.now = wanted;
    batch.push_back(&request);
    bytes.insert(bytes.end(), request.bytes.begin() + request.done, request.bytes.begin() + request.done + wanted);
  }
  if (batch.empty()) return false;
  Rows x = model_.embed(bytes);
  for (std::size_t layer = 0; layer < pools_.size(); ++layer) {
    const Rows input = normalised(x, model_.size.width());
    model_.finish_layer(model_.layers[layer], attend(layer, batch, input), x);
  }
  std::int64_t row = 0;
  for (Request* request : batch) {
    row += request->now;
    request->done += request->now;
    if (request->done < static_cast<std::int32_t>(request->bytes.size())) continue;
    const auto last = x.begin() + (row - 1) * model_.size.width();
    const Rows logits = model_.logits(Rows(last, last + model_.size.width()));
    request->logits.insert(request->logits.end(), logits.begin(), logits.end());
    request->bytes.push_back(most_likely(logits.data()));
  }
  rows += row;
  ++steps;
  for (auto request = running.begin(); request != running.end();) {
    const auto next = std::next(request);
    if (request->bytes.size() >= request->wanted) {
      for (std::size_t layer = 0; layer < pools_.size(); ++layer) (void)pools_[layer].release(request->pages[layer]);
      finished.splice(finished.end(), running, request);
    }
    request = next;
  }
  return !running.empty();
}

// New keys are rotated as they are appended, queries as they are read; both at the positions of their own request.
Rows Server::attend(std::size_t layer, const std::vector<Request*>& batch, const Rows& input) {
  const ModelSize& size = model_.size;
  const Layer& weights = model_.layers[layer];
  std::vector<std::int32_t> begins{0}, past, total, table;
  std::size_t most_pages = 0;
  for (const Request* request : batch) most_pages = std::max(most_pages, request->pages[layer].size());
  table.resize(batch.size() * most_pages);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    begins.push_back(begins.back() + batch[i]->now);
    past.push_back(batch[i]->done);
    total.push_back(batch[i]->done + batch[i]->now);
    (void)pools_[layer].write_row(batch[i]->pages[layer], std::span(table).subspan(i * most_pages, most_pages));
  }
  const flexjit::TensorView pages(table.data(), flexjit::DType::kI32,
                                  {static_cast<std::int64_t>(batch.size()), static_cast<std::int64_t>(most_pages)});
  const Rows q = weights.q.times(input), k = weights.k.times(input), v = weights.v.times(input);
  value_or_exit(
      flexjit::append_kv({.k = pools_[layer].k(), .v = pools_[layer].v(), .past_len = ints(past), .block_table = pages},
                         {.k = heads_of(k, size.kv_heads, size.head_dim),
                          .v = heads_of(v, size.kv_heads, size.head_dim),
                          .cu_seqlens_k_new = ints(begins),
                          .rotary = &rotary_}));
  Rows out(q.size());
  flexjit::Sequences sequences;
  sequences.cu_seqlens_q = ints(begins);
  sequences.total_len = ints(total);
  sequences.block_table = pages;
  flexjit::RunArgs args{
      .q = heads_of(q, size.heads, size.head_dim),
      .k = pools_[layer].k(),
      .v = pools_[layer].v(),
      .out = flexjit::thd(static_cast<void*>(out.data()), flexjit::DType::kF32, {begins.back(), size.heads, size.head_dim})};
  args.sequences = &sequences;
  args.rotary = &rotary_;
  value_or_exit(attention_.run(args));
  return out;
}
