// SPDX-License-Identifier: Apache-2.0
// The test harness: TEST(name) registers a test, CHECK and CHECK_THROWS report what does not
// hold and go on. main() in check.cpp runs every test whose name contains the argument given.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace check {

struct Test {
    const char* name;
    void (*body)();
};

// Every registered test, in order of registration within a file.
std::vector<Test>& registry();

// Runs one test, prints what fails; true if nothing did.
bool run(const Test& test);

// Notes a failure of the running test.
void fail(const char* file, int line, const std::string& what);

struct Registration {
    Registration(const char* name, void (*body)()) { registry().push_back({name, body}); }
};

template <typename Exception, typename Body>
bool throws(Body&& body) {
    try {
        std::forward<Body>(body)();
    } catch (const Exception&) {
        return true;
    }
    return false;
}

}  // namespace check

#define TEST(name) \
    static void test_##name(); \
    static const ::check::Registration registration_##name(#name, &test_##name); \
    static void test_##name()

#define CHECK(...) \
    do { \
        if (!(__VA_ARGS__)) { \
            ::check::fail(__FILE__, __LINE__, #__VA_ARGS__); \
        } \
    } while (false)

// An exception of another type ends the test as failed.
#define CHECK_THROWS(Exception, ...) \
    do { \
        if (!::check::throws<Exception>([&] { static_cast<void>(__VA_ARGS__); })) { \
            ::check::fail(__FILE__, __LINE__, #__VA_ARGS__ " throws " #Exception); \
        } \
    } while (false)
