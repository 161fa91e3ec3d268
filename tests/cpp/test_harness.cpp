// SPDX-License-Identifier: Apache-2.0
// A harness that cannot fail would pass everything. The failures printed here are wanted ones.
#include "check.hpp"

#include <stdexcept>

namespace {

void holds() {
    CHECK(1 + 1 == 2);
    CHECK_THROWS(std::runtime_error, throw std::runtime_error("wanted"));
}

void does_not_hold() { CHECK(1 + 1 == 3); }

void does_not_throw() { CHECK_THROWS(std::runtime_error, 1 + 1); }

void throws_another_type() { CHECK_THROWS(std::logic_error, throw std::runtime_error("wanted")); }

void throws() { throw std::runtime_error("wanted"); }

}  // namespace

TEST(harness_passes_what_holds) { CHECK(check::run({"wanted to pass", &holds})); }

TEST(harness_reports_what_does_not_hold) {
    CHECK(!check::run({"wanted to fail", &does_not_hold}));
    CHECK(!check::run({"wanted to fail", &does_not_throw}));
    CHECK(!check::run({"wanted to fail", &throws_another_type}));
    CHECK(!check::run({"wanted to fail", &throws}));
}

TEST(harness_registers_tests) { CHECK(check::registry().size() >= 3); }
