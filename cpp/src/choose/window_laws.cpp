// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>

#include "choose/choose.hpp"

namespace nearmiss {

std::span<const Key> choose_random(std::span<Key> window,
                                   std::size_t count,
                                   const RandomStream& stream,
                                   std::uint64_t query_id) {
    if (count < window.size()) {
        struct Noisy {
            std::uint64_t noise;
            Key key;
        };
        std::vector<Noisy> noisy;
        noisy.reserve(window.size());
        for (const Key key : window) noisy.push_back({stream.bits(query_id, row_of(key)), key});
        const auto middle = noisy.begin() + static_cast<std::ptrdiff_t>(count);
        std::nth_element(noisy.begin(), middle, noisy.end(), [](const Noisy& a, const Noisy& b) {
            return a.noise != b.noise ? a.noise > b.noise : row_of(a.key) < row_of(b.key);
        });
        std::transform(noisy.begin(), middle, window.begin(), [](const Noisy& n) { return n.key; });
        window = window.first(count);
    }
    std::sort(window.begin(), window.end(), std::greater<>());
    return window;
}

std::span<const Key> choose_from_window(std::span<Key> window,
                                        const Choice& choice,
                                        const RandomStream& noise,
                                        std::size_t query) {
    const std::size_t count = std::min(choice.num_negatives, window.size());
    if (choice.law == Law::random)
        return choose_random(window, count, noise, query_id(choice, query));
    return window.first(count);
}

}  // namespace nearmiss
