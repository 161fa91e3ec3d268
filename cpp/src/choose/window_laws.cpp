// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <utility>

#include "choose/choose.hpp"
#include "filter.hpp"

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

Stratified choose_from_window(RankWindow&& window,
                              const Choice& choice,
                              const RandomStream& noise,
                              std::size_t query) {
    if (choice.law == Law::bands)
        return choose_from_bands(window, choice.bands, noise, query_id(choice, query));
    keep_flagged(window.keys, window.admissible);
    const std::size_t count = std::min(choice.num_negatives, window.keys.size());
    if (choice.law == Law::random)
        (void)choose_random(window.keys, count, noise, query_id(choice, query));
    window.keys.resize(count);
    return {std::move(window.keys), {}};
}

}  // namespace nearmiss
