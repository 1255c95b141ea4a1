// Positions of an image of 64 columns, seven by seven around the query.
struct Place {
  int row, column;
};

constexpr int kColumns = 64;

Place place_of(int position) { return {position / kColumns, position % kColumns}; }

bool mask_mod(int q_idx, int kv_idx) {
  const Place q = place_of(q_idx), kv = place_of(kv_idx);
  return std::abs(q.row - kv.row) <= 3 && std::abs(q.column - kv.column) <= 3;
}
