// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"

#include <cstdio>
#include <exception>

namespace check {

namespace {

int failures_of_running_test = 0;

}  // namespace

std::vector<Test>& registry() {
    static std::vector<Test> tests;
    return tests;
}

void fail(const char* file, int line, const std::string& what) {
    ++failures_of_running_test;
    std::printf("%s:%d: failed: %s\n", file, line, what.c_str());
}

bool run(const Test& test) {
    // The harness' own test runs tests inside a test, so the outer count is kept.
    const int outer_failures = std::exchange(failures_of_running_test, 0);
    try {
        test.body();
    } catch (const std::exception& error) {
        fail(test.name, 0, std::string("unexpected exception: ") + error.what());
    } catch (...) {
        fail(test.name, 0, "unexpected exception");
    }
    return std::exchange(failures_of_running_test, outer_failures) == 0;
}

}  // namespace check

int main(int argc, char** argv) {
    const std::string wanted = argc > 1 ? argv[1] : "";
    int passed = 0;
    int failed = 0;
    for (const check::Test& test : check::registry()) {
        if (std::string(test.name).find(wanted) == std::string::npos) {
            continue;
        }
        if (check::run(test)) {
            ++passed;
        } else {
            ++failed;
            std::printf("FAILED %s\n", test.name);
        }
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
