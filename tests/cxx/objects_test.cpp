// Variables, what names them, structs and arrays of a mod's own: as the host's compiler has them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "mods.h"

namespace flexjit::cxx_test {
namespace {

TEST(Objects, ReturnedReferencesNameTheirVariable) {
  expect_same(MOD({
    struct S {
      int n;
      S& add(int x) {
        n += x;
        return *this;
      }
    };
    S s{1};
    s.add(q_idx).add(kv_idx);
    auto id = [](int& x) -> int& { return x; };
    int p = q_idx;
    int& r = id(p);
    r += 77;
    id(p) += 2;
    return s.n * 1000 + p;
  }));
  expect_same(MOD({
    auto id = [](const int& x) -> const int& { return x; };
    int p = q_idx;
    const int& r = id(p);
    p = 100 + kv_idx;
    return r;
  }));
  expect_same(MOD({
    int a = 1;
    int b = 2;
    auto larger = [](const int& x, const int& y) -> const int& { return x < y ? y : x; };
    return larger(a + q_idx, b + kv_idx) + std::min(q_idx, kv_idx);
  }));
}

TEST(Objects, ArraysThatArePassedAreTheCallers) {
  expect_same(MOD({
    auto set = [](int* t, int at, int x) { t[at] = x; };
    auto fill = [&set](int* t, int x) {
      set(t, 1, x);
      if (x > 3) t[2] += x;
    };
    int t[3];
    t[2] = 0;
    set(t, 0, q_idx);
    fill(t, kv_idx);
    return t[0] * 100 + t[1] * 10 + t[2];
  }));
}

TEST(Objects, AssignmentsThatAreNamedHappenOnce) {
  expect_same(MOD({
    int t[4] = {1, 2, 3, 4};
    int i = 0;
    int x = (t[i++] = 5 + q_idx);
    int y = ++t[i++];
    int z = t[i++] += 7;
    (t[i] -= 2) *= 3;
    return x * 1000 + y * 100 + z * 10 + t[3] + i;
  }));
}

TEST(Objects, MembersBeginAsTheirDefaultsSay) {
  expect_same(MOD({
    struct In {
      int x = 5;
      int y = x + 1;
      int twice() const { return 2 * x; }
      int z = twice();
    };
    struct Out {
      In in;
      In more[2];
      int last = in.z + more[1].y;
    };
    struct Maker {
      int x = 77;
      In made(int q) const {
        In first;
        In second{q};
        return {first.y + second.y + x};
      }
    };
    Out o = Out();
    Out p;
    p.in.x = kv_idx;
    return Maker().made(q_idx).z * 100 + o.last * 10 + p.in.x + p.more[0].z + In{q_idx}.y;
  }));
}

TEST(Objects, ObjectsAreAssignedAndCapturedWhole) {
  expect_same(MOD({
    struct S {
      int a;
      int b[2];
    };
    S s{1, {2, 3}};
    S t{4, {5, q_idx}};
    if (kv_idx > 3) s = t;
    S r = t;
    s = r = s;
    t.b[1] = 99;
    int u[2] = {s.a, s.b[0]};
    auto sum = [u, s](int i) { return u[i] + s.b[1]; };
    u[0] = 50;
    auto [c, d] = u;
    d += 7;
    return sum(0) * 100 + sum(1) + c + d + u[1];
  }));
  expect_same(MOD({
    std::array<int, 3> a{1, q_idx, 3};
    std::array<int, 3> b = a;
    for (int& e : b) e *= 2;
    a = b;
    int n = std::min({a[1], kv_idx, 9});
    for (int e : {4, q_idx}) n = n * 10 + e;
    return n + a[2];
  }));
}

TEST(Objects, ChosenElementsAreValues) {
  expect_same(MOD({
    struct P {
      int x;
      int y;
      int sum() const { return x + y; }
    };
    const P table[2] = {{1, 2}, {3, 4}};
    P other[2] = {{5, 6}, {7, q_idx}};
    const P& p = table[q_idx % 2];
    int m[2][3] = {{1, 2, 3}, {4, 5, kv_idx}};
    int n = 0;
    for (int e : m[kv_idx % 2]) n += e;
    return std::min(m[q_idx % 2][2], 3) + p.x * 100 + table[kv_idx % 2].sum() * 1000 + other[kv_idx % 2].sum() + n * 10000;
  }));
}

}  // namespace
}  // namespace flexjit::cxx_test
